"""Magnitudes of task vectors, as bits, which are in the same order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import BLOCK, Bits, ahead, at
from tsugiki.merge.kernels.instructions import bits_of
from tsugiki.merge.kernels.selecting import between


@compiled
def magnitudes(base: Bits, parent: Bits, out: NDArray[np.uint32]) -> None:
    """Write the magnitudes of parent - base to `out`, as bits, which are in the same order."""
    for j in range(out.size):
        out[j] = bits_of(abs(at(parent, j) - at(base, j)))


@compiled
def magnitudes_between(
    base: Bits, parent: Bits, low: int, high: int, out: NDArray[np.uint32]
) -> tuple[np.int64, np.int64]:
    """Write those magnitudes of parent - base that lie between two, inclusive, to `out`.

    Returns:
        How many were written, and how many are larger. `out` needs room for `BLOCK` more.
    """
    values = np.empty(BLOCK, np.uint32)
    found, larger = np.int64(0), np.int64(0)
    for start in range(0, base.size, BLOCK):
        stop = min(start + BLOCK, base.size)
        block = values[: stop - start]
        magnitudes(ahead(base, start, stop), ahead(parent, start, stop), block)
        found, more = between(block, low, high, out, found)
        larger += more
    return found, larger
