"""Collecting values that lie in a range, and ranking them: magnitudes of task vectors, as bits.

The bits of float32 numbers that are not negative are in the order of the numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import (
    BLOCK,
    Addresses,
    Bits,
    Floats,
    ahead,
    at,
    bits_of,
    block,
)


@compiled
def between(
    values: NDArray[np.uint32], low: int, high: int, out: NDArray[np.uint32], place: np.int64
) -> tuple[np.int64, np.int64]:
    """Write those values that lie between two, inclusive, to `out`, from `place` on.

    There are no branches: what is not wanted is overwritten by what follows.

    Returns:
        Where the next ones go, and how many are larger. `out` needs room for one more.
    """
    lowest, width, highest = np.uint32(low), np.uint32(high - low), np.uint32(high)
    larger = np.uint32(0)
    for j in range(values.size):
        larger = np.uint32(larger + np.uint32(values[j] > highest))
    end = np.uint64(place)
    for j in range(values.size):
        out[end] = values[j]
        end += np.uint64(np.uint32(values[j] - lowest) <= width)
    return np.int64(end), np.int64(larger)


@compiled
def _magnitudes(base: Bits, parent: Bits, out: NDArray[np.uint32]) -> None:
    for j in range(out.size):
        out[j] = bits_of(abs(at(parent, j) - at(base, j)))


@compiled
def magnitudes(base: Bits, parents: Addresses, out: NDArray[np.uint32]) -> None:
    """Write the magnitudes of parent - base, for the only parent, to `out`, as bits."""
    _magnitudes(base, block(base, parents[0], 0, base.size), out)


@compiled
def magnitudes_between(
    base: Bits, parents: Addresses, low: int, high: int, out: NDArray[np.uint32]
) -> tuple[np.int64, np.int64]:
    """Write those magnitudes of parent - base that lie between two, inclusive, to `out`.

    Returns:
        How many were written, and how many are larger. `out` needs room for `BLOCK` more.
    """
    values = np.empty(BLOCK, np.uint32)
    found, larger = np.int64(0), np.int64(0)
    for start in range(0, base.size, BLOCK):
        stop = min(start + BLOCK, base.size)
        these = values[: stop - start]
        parent = block(base, parents[0], start, stop)
        _magnitudes(ahead(base, start, stop), parent, these)
        found, more = between(these, low, high, out, found)
        larger += more
    return found, larger


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
