"""Means of the changes that vary enough and agree in sign."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.consensus import elect
from tsugiki.merge.kernels.elements import BLOCK, ONE, ZERO, Bits, Floats, store_moved
from tsugiki.merge.kernels.variance import varying


@compiled
def squares(
    base: Bits, parents: tuple[Bits, ...], least: np.float32, out: NDArray[np.float64]
) -> None:
    """Write the sums of squares of those changes that vary enough, one for each parent."""
    count = len(parents)
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
    base: Bits, parents: tuple[Bits, ...], least: np.float32, weights: Floats, out: Bits
) -> tuple[bool, bool]:
    """Write base + mean of the changes that vary enough and agree in sign, to `out` (see `methods.sce`).

    Args:
        base: The base's elements.
        parents: The parents' elements.
        least: Least variance between the parents that an element needs, NaN for none.
        weights: Weights of the mean.
        out: Where the result goes.

    Returns:
        Whether every element of the result, and every one of the task vectors, is finite.
    """
    count = len(parents)
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
