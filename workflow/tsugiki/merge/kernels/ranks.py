"""Ranks of magnitudes within rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import Bits, Floats, at
from tsugiki.merge.kernels.instructions import bits_of


@compiled
def ranking_keys(base: Bits, parent: Bits, width: int, out: NDArray[np.uint64]) -> None:
    """Write numbers whose order is that of the magnitudes of parent - base, then of their places.

    The lower half of each is its place in its row of `width` elements.
    """
    for begin in range(0, out.size, width):
        for j in range(width):
            change = abs(at(parent, begin + j) - at(base, begin + j))
            out[begin + j] = (np.uint64(bits_of(change)) << np.uint64(32)) | np.uint64(j)


@compiled
def by_rank(keys: NDArray[np.uint64], width: int, steps: Floats, out: Floats) -> None:
    """Give each element of each row that step of `steps` which is its rank; `keys` are sorted."""
    for begin in range(0, out.size, width):
        for j in range(width):
            out[begin + (keys[begin + j] & np.uint64(0xFFFFFFFF))] = steps[j]
