"""The numbers of `masks`, drawn where they are needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge import masks
from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import BLOCK, Floats

GAMMA, FACTOR_1, FACTOR_2 = (
    np.uint64(masks.GAMMA),
    np.uint64(masks.FACTOR_1),
    np.uint64(masks.FACTOR_2),
)
BITS = masks.BITS
UNIT = np.float32(masks.UNIT)


@compiled
def _steps(state: np.uint64) -> np.uint64:
    """A number of SplitMix64, in steps of `UNIT`.

    The generator's last step changes only lower bits than the 24 that are used, and is left out.
    """
    x = (state ^ (state >> np.uint64(30))) * FACTOR_1
    x = (x ^ (x >> np.uint64(27))) * FACTOR_2
    return x >> np.uint64(64 - BITS)


@compiled
def draw_numbers(start: int, key: np.uint64, numbers: Floats) -> None:
    """The numbers of SplitMix64 themselves, from 0 to 1 (see `masks`)."""
    state = key + np.uint64(start) * GAMMA
    for j in range(BLOCK):
        state += GAMMA
        numbers[j] = np.float32(np.int32(_steps(state))) * UNIT


@compiled
def draw(start: int, limit: np.float32, key: np.uint64, mask: NDArray[np.int32]) -> None:
    """All ones where number i of SplitMix64 is below the limit (see `masks`), otherwise zero."""
    state = key + np.uint64(start) * GAMMA
    steps = np.int64(limit / UNIT)
    for j in range(BLOCK):
        state += GAMMA
        # The sign of the difference, as all ones or all zeros.
        mask[j] = (np.int64(_steps(state)) - steps) >> np.int64(63)
