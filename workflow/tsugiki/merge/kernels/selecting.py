"""Collecting the values that lie in a range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.instructions import LANES, PACKS, pack


@compiled
def pack_all(
    values: NDArray[np.uint32],
    low: np.uint32,
    width: np.uint32,
    out: NDArray[np.uint32],
    place: np.uint64,
) -> np.uint64:
    """Write the values from `low` to `low + width` to `out`, from `place` on; returns their end.

    There are no branches: what is not wanted is overwritten by what follows.
    """
    for j in range(values.size):
        out[place] = values[j]
        place += np.uint64(np.uint32(values[j] - low) <= width)
    return place


@compiled
def pack_lanes(
    values: NDArray[np.uint32],
    low: np.uint32,
    width: np.uint32,
    out: NDArray[np.uint32],
    place: np.uint64,
) -> np.uint64:
    """The same for a whole number of `LANES`."""
    for j in range(0, values.size, LANES):
        place = pack(values, np.uint64(j), low, width, out, place)
    return place


@compiled
def between(
    values: NDArray[np.uint32], low: int, high: int, out: NDArray[np.uint32], place: np.int64
) -> tuple[np.int64, np.int64]:
    """Write those values that lie between two, inclusive, to `out`, from `place` on.

    Returns:
        Where the next ones go, and how many are larger. `out` needs room for `LANES` more.
    """
    lowest, width, highest = np.uint32(low), np.uint32(high - low), np.uint32(high)
    larger = np.uint32(0)
    for j in range(values.size):
        larger = np.uint32(larger + np.uint32(values[j] > highest))
    whole = values.size // LANES * LANES if PACKS else 0
    end = pack_lanes(values[:whole], lowest, width, out, np.uint64(place))
    end = pack_all(values[whole:], lowest, width, out, end)
    return np.int64(end), np.int64(larger)
