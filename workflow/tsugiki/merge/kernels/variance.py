"""Variances of the changes between parents, as bits, and means of the changes that vary enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import (
    BLOCK,
    ONE,
    ZERO,
    Addresses,
    Bits,
    Floats,
    bits_of,
    store_moved,
)
from tsugiki.merge.kernels.selecting import between
from tsugiki.merge.kernels.task_vectors import changes, elect


@compiled
def varying(
    base: Bits,
    parents: Addresses,
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
    count = np.float32(parents.size)
    for j in range(BLOCK):
        total[j] /= count
        variance[j] = ZERO
    for index in range(parents.size):
        for j in range(BLOCK):
            distance = vectors[index, j] - total[j]
            variance[j] += distance * distance
    for j in range(BLOCK):
        variance[j] /= count
    return bad


@compiled
def variances(base: Bits, parents: Addresses, out: NDArray[np.uint32]) -> None:
    """Write the variances of the changes between parents to `out`, as bits."""
    count = parents.size
    origin, variance = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    total, vectors = np.empty(BLOCK, np.float32), np.empty((count, BLOCK), np.float32)
    for start in range(0, base.size, BLOCK):
        stop = min(start + BLOCK, base.size)
        varying(base, parents, start, stop, origin, vectors, total, variance)
        for j in range(stop - start):
            out[start + j] = bits_of(abs(variance[j]))


@compiled
def variances_between(
    base: Bits, parents: Addresses, low: int, high: int, out: NDArray[np.uint32]
) -> tuple[np.int64, np.int64]:
    """Write those variances that lie between two, inclusive (see `magnitudes_between`)."""
    count = parents.size
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


@compiled
def squares(base: Bits, parents: Addresses, least: np.float32, out: NDArray[np.float64]) -> None:
    """Write the sums of squares of those changes that vary enough, one for each parent."""
    count = parents.size
    origin, variance = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    total, vectors = np.empty(BLOCK, np.float32), np.empty((count, BLOCK), np.float32)
    sums = np.zeros((count, BLOCK), np.float64)
    for start in range(0, base.size, BLOCK):
        stop = min(start + BLOCK, base.size)
        varying(base, parents, start, stop, origin, vectors, total, variance)
        for index in range(count):
            for j in range(stop - start):
                x = np.float64(vectors[index, j])
                sums[index, j] += x * x if variance[j] >= least else np.float64(0)
    for index in range(count):
        out[index] = sums[index].sum()


@compiled
def erase_minority(
    base: Bits, parents: Addresses, least: np.float32, weights: Floats, out: Bits
) -> tuple[bool, bool]:
    """Write base + mean of the changes that vary enough and agree in sign, to `out` (see `methods.sce`).

    Args:
        base: The base's elements.
        parents: The parents.
        least: Least variance between the parents that an element needs, NaN for none.
        weights: Weights of the mean.
        out: Where the result goes.

    Returns:
        Whether every element of the result, and every one of the task vectors, is finite.
    """
    count = parents.size
    origin, variance = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    total, signs = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    weight_sum, vectors = np.empty(BLOCK, np.float32), np.empty((count, BLOCK), np.float32)
    bad_result, bad_vectors = np.uint32(0), np.uint32(0)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        bad = varying(base, parents, start, stop, origin, vectors, total, variance)
        bad_vectors = np.uint32(bad_vectors | bad)
        total[:] = ZERO
        for index in range(count):
            for j in range(BLOCK):
                vectors[index, j] = vectors[index, j] if variance[j] >= least else ZERO
                total[j] += vectors[index, j]
        elect(total, signs)
        weight_sum[:] = ZERO
        for index in range(count):
            weight = weights[index]
            for j in range(BLOCK):
                agrees = vectors[index, j] * signs[j] > ZERO
                total[j] += vectors[index, j] * weight if agrees else ZERO
                weight_sum[j] += weight if agrees else ZERO
        for j in range(BLOCK):
            total[j] /= ONE if weight_sum[j] == ZERO else weight_sum[j]
        bad_result = np.uint32(bad_result | store_moved(origin, total, ONE, out[start:stop]))
    return bool(bad_result == 0), bool(bad_vectors == 0)
