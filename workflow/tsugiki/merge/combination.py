"""Combinations of whole tensors, whose factors follow from their lengths and angles.

Any point that is made of vectors by geometry on a sphere is a sum of these vectors, each multiplied
by a number. Lengths and angles, and so the numbers, follow from the inner products of the vectors:
one pass over the models finds these, a second one adds them up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsugiki.merge import fused, fused_vectors
from tsugiki.merge.fused import Fused, alike
from tsugiki.merge.kernels import inner_products as loops
from tsugiki.merge.operands import Operands


def inner_products(operands: Operands) -> NDArray[np.float64]:
    """Inner products of the task vectors, or of the parents themselves if there is no base.

    Returns:
        float64, shape (parents, parents).
    """
    models = range(operands.count)
    if operands.has_base:
        return products_of(operands, (None, *models), changes=True)
    return products_of(operands, models, changes=False)


def products_of(
    operands: Operands, models: Sequence[int | None], *, changes: bool
) -> NDArray[np.float64]:
    """Inner products of models, or of their changes against the first of them.

    Args:
        operands: The tensor that is merged.
        models: The models, by their places, None for the base.
        changes: Whether the first one is subtracted from the others.

    Raises:
        ParentError: a model is not finite.
    """
    elements = alike([operands.source.bits(index) for index in models])
    chosen = elements[1:] if changes else elements
    products = np.empty((len(chosen), len(chosen)))
    loops.inner_products(elements[0], chosen, changes, products)
    if not np.isfinite(products).all():
        operands.source.require_finite()
    return products


def combine(operands: Operands, factors: Sequence[float]) -> Tensor:
    """Sum of factor * parent, or base + sum of factor * task vector; float32."""
    if operands.has_base:
        return sum_of(operands.source.task_vector, factors).add_(operands.source.base())
    return sum_of(operands.source.parent, factors)


def sum_of(read: Callable[[int], Tensor], factors: Sequence[float]) -> Tensor:
    """Sum of factor * tensor, in order; float32."""
    total = read(0) * factors[0]
    for index, factor in enumerate(factors[1:], start=1):
        total.add_(read(index) * factor)
    return total


def combine_compiled(operands: Operands, factors: Sequence[float], dtype: torch.dtype) -> Fused:
    """The same in one pass."""
    if operands.has_base:
        return fused_vectors.add_scaled(operands, factors, dtype)
    return fused.weighted_sum(operands, factors, dtype)
