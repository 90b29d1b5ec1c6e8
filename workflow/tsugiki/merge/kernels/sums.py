"""Sums over models: of weighted elements, of products, and of what is not finite."""

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
    block,
    load,
    not_finite,
    store,
)

PART = 512
"""Elements of a product worked on at a time: fewer, since numbers and sums are in float64."""


@compiled
def _add_scaled(source: Bits, factor: np.float32, total: Floats, first: bool) -> None:
    """Add the model itself."""
    for j in range(source.size):
        value = at(source, j) * factor
        total[j] = value if first else total[j] + value


@compiled
def weighted_sum(like: Bits, models: Addresses, weights: Floats, out: Bits) -> bool:
    """Write sum of weight * model to `out`; return whether every element is finite.

    Args:
        like: One of the models.
        models: All of them.
        weights: One for each.
        out: Where the result goes.
    """
    total = np.empty(BLOCK, np.float32)
    bad = np.uint32(0)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        for index in range(models.size):
            source = block(like, models[index], start, stop)
            _add_scaled(source, weights[index], total, index == 0)
        bad = np.uint32(bad | store(total, out[start:stop]))
    return bool(bad == 0)


@compiled
def inner_products(base: Bits, models: Addresses, changes: bool, out: NDArray[np.float64]) -> None:
    """Write the inner products of the models, or of their changes against the base.

    Args:
        base: The base's elements; not used for the products of the models themselves.
        models: The models.
        changes: Whether the base is subtracted from each, in float32.
        out: float64, shape (models, models); sums are in float64, in a fixed order.
    """
    count = models.size
    origin, values = np.zeros(PART, np.float32), np.zeros((count, PART), np.float64)
    sums = np.zeros((count, count, PART), np.float64)
    for start in range(0, base.size, PART):
        stop = min(start + PART, base.size)
        if changes:
            load(ahead(base, start, stop), origin)
        for index in range(count):
            source, row = block(base, models[index], start, stop), values[index]
            for j in range(stop - start):
                row[j] = np.float64(np.float32(at(source, j) - origin[j]))
            row[stop - start :] = np.float64(0)
            for other in range(index + 1):
                one, two, product = values[index], values[other], sums[index, other]
                for j in range(PART):
                    product[j] += one[j] * two[j]
    for index in range(count):
        for other in range(index + 1):
            out[index, other] = out[other, index] = sums[index, other].sum()


@compiled
def all_finite(bits: Bits) -> bool:
    """Whether no element is NaN or infinite."""
    bad = np.uint32(0)
    for j in range(bits.size):
        bad = np.uint32(bad | not_finite(at(bits, j)))
    return bool(bad == 0)
