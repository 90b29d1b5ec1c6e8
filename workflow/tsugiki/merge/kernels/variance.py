"""Variances of the changes between parents, as bits, which are in the same order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.kernels.changes import changes
from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import BLOCK, ZERO, Bits, Floats
from tsugiki.merge.kernels.instructions import bits_of
from tsugiki.merge.kernels.selecting import between


@compiled
def varying(
    base: Bits,
    parents: tuple[Bits, ...],
    start: int,
    stop: int,
    origin: Floats,
    vectors: Floats,
    total: Floats,
    variance: Floats,
) -> np.uint32:
    """Write the base, each parent's change, and the mean squared distance from the mean change.

    `total` is room to work in.
    """
    bad = changes(base, parents, start, stop, origin, vectors, total)
    count = np.float32(len(parents))
    for j in range(BLOCK):
        total[j] /= count
        variance[j] = ZERO
    for index in range(len(parents)):
        for j in range(BLOCK):
            distance = vectors[index, j] - total[j]
            variance[j] += distance * distance
    for j in range(BLOCK):
        variance[j] /= count
    return bad


@compiled
def variances(base: Bits, parents: tuple[Bits, ...], out: NDArray[np.uint32]) -> None:
    """Write the variances of the changes between parents to `out`, as bits."""
    count = len(parents)
    origin, variance = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    total, vectors = np.empty(BLOCK, np.float32), np.empty((count, BLOCK), np.float32)
    for start in range(0, base.size, BLOCK):
        stop = min(start + BLOCK, base.size)
        varying(base, parents, start, stop, origin, vectors, total, variance)
        for j in range(stop - start):
            out[start + j] = bits_of(abs(variance[j]))


@compiled
def variances_between(
    base: Bits, parents: tuple[Bits, ...], low: int, high: int, out: NDArray[np.uint32]
) -> tuple[np.int64, np.int64]:
    """Write those variances that lie between two, inclusive (see `magnitudes_between`)."""
    count = len(parents)
    origin, variance = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    total, vectors = np.empty(BLOCK, np.float32), np.empty((count, BLOCK), np.float32)
    values = np.empty(BLOCK, np.uint32)
    found, larger = np.int64(0), np.int64(0)
    for start in range(0, base.size, BLOCK):
        stop = min(start + BLOCK, base.size)
        varying(base, parents, start, stop, origin, vectors, total, variance)
        for j in range(BLOCK):
            values[j] = bits_of(abs(variance[j]))
        found, more = between(values[: stop - start], low, high, out, found)
        larger += more
    return found, larger
