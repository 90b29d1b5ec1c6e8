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
def draw_numbers(start: int, key: np.uint64, numbers: Floats) -> None:
    """The numbers of SplitMix64 themselves, from 0 to 1 (see `masks`)."""
    state = key + np.uint64(start) * GAMMA
    for j in range(BLOCK):
        state += GAMMA
        x = (state ^ (state >> np.uint64(30))) * FACTOR_1
        x = (x ^ (x >> np.uint64(27))) * FACTOR_2
        numbers[j] = np.float32(np.int32(x >> np.uint64(64 - BITS))) * UNIT


@compiled
def draw(start: int, limit: np.float32, key: np.uint64, mask: NDArray[np.int32]) -> None:
    """All ones where number i of SplitMix64 is below the limit (see `masks`), otherwise zero.

    The generator's last step changes only lower bits than the 24 that are used, and is left out.
    """
    state = key + np.uint64(start) * GAMMA
    steps = np.int64(limit / UNIT)
    for j in range(BLOCK):
        state += GAMMA
        x = (state ^ (state >> np.uint64(30))) * FACTOR_1
        x = (x ^ (x >> np.uint64(27))) * FACTOR_2
        # The sign of the difference, as all ones or all zeros.
        mask[j] = (np.int64(x >> np.uint64(64 - BITS)) - steps) >> np.int64(63)
