"""Inner products of models, or of their changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import Bits, ahead, at, load

PART = 512
"""Elements worked on at a time: fewer than elsewhere, since numbers and sums are in float64."""


@compiled
def inner_products(
    base: Bits, models: tuple[Bits, ...], changes: bool, out: NDArray[np.float64]
) -> None:
    """Write the inner products of the models, or of their changes against the base.

    Args:
        base: The base's elements; not used for the products of the models themselves.
        models: The models' elements.
        changes: Whether the base is subtracted from each, in float32.
        out: float64, shape (models, models); sums are in float64, in a fixed order.
    """
    count = len(models)
    origin, values = np.zeros(PART, np.float32), np.zeros((count, PART), np.float64)
    sums = np.zeros((count, count, PART), np.float64)
    for start in range(0, base.size, PART):
        stop = min(start + PART, base.size)
        if changes:
            load(ahead(base, start, stop), origin)
        for index in range(count):
            source, row = ahead(models[index], start, stop), values[index]
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
