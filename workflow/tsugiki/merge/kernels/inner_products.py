"""Inner products of models, or of their changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import BLOCK, Bits, ahead, at, load


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
    origin, values = np.zeros(BLOCK, np.float32), np.zeros((count, BLOCK), np.float32)
    sums = np.zeros((count, count, BLOCK), np.float64)
    for start in range(0, base.size, BLOCK):
        stop = min(start + BLOCK, base.size)
        if changes:
            load(ahead(base, start, stop), origin)
        for index in range(count):
            source, row = ahead(models[index], start, stop), values[index]
            for j in range(stop - start):
                row[j] = at(source, j) - origin[j]
            for other in range(index + 1):
                one, two, product = values[index], values[other], sums[index, other]
                for j in range(stop - start):
                    product[j] += np.float64(one[j]) * np.float64(two[j])
    for index in range(count):
        for other in range(index + 1):
            out[index, other] = out[other, index] = sums[index, other].sum()
