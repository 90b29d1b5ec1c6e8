"""Electing a sign for every element, and summing what agrees with it."""

from __future__ import annotations

import numpy as np

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import BLOCK, ONE, ZERO, Floats

TINY = np.float32(1e-8)


@compiled
def elect(total: Floats, signs: Floats) -> None:
    """Write the signs of the sums, positive for zero; `total` is emptied."""
    for j in range(BLOCK):
        signs[j] = ONE if total[j] >= ZERO else -ONE
        total[j] = ZERO


@compiled
def _add_agreeing(vector: Floats, signs: Floats, total: Floats) -> None:
    for j in range(BLOCK):
        total[j] += vector[j] if vector[j] * signs[j] > ZERO else ZERO


@compiled
def _count_agreeing(
    vector: Floats, signs: Floats, weight: np.float32, total: Floats, weight_sum: Floats
) -> None:
    for j in range(BLOCK):
        agrees = vector[j] * signs[j] > ZERO
        total[j] += vector[j] if agrees else ZERO
        weight_sum[j] += weight if agrees else ZERO


@compiled
def sum_agreeing(
    vectors: Floats,
    weights: Floats,
    normalize: bool,
    signs: Floats,
    weight_sum: Floats,
    total: Floats,
) -> None:
    """Replace the sum of the vectors by that of what agrees with its sign, element by element.

    With `normalize`, it is divided by the weights of what agrees. `signs` and `weight_sum` are room
    to work in.
    """
    elect(total, signs)
    if normalize:
        weight_sum[:] = ZERO
        for index in range(vectors.shape[0]):
            _count_agreeing(vectors[index], signs, weights[index], total, weight_sum)
        for j in range(BLOCK):
            total[j] /= ONE if abs(weight_sum[j]) < TINY else weight_sum[j]
    else:
        for index in range(vectors.shape[0]):
            _add_agreeing(vectors[index], signs, total)
