"""Geometry on a sphere: interpolation along great circles, and combinations of whole tensors.

Any point that is made of vectors by geometry on a sphere is a sum of these vectors, each multiplied
by a number. Lengths and angles, and so the numbers, follow from the inner products of the vectors:
one pass over the models finds these, a second one adds them up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsugiki.merge.kernels import sums
from tsugiki.merge.kernels.elements import addresses
from tsugiki.merge.method import MergeInputs

SMALLEST_SINE = 1e-6
"""Below it two directions are taken for parallel or opposite, and a straight line is used."""


def slerp(t: float, start: Tensor, end: Tensor) -> Tensor:
    """The point that divides the arc from `start` to `end` in the ratio t : 1 - t (Shoemake 1985).

    The last dimension is the vector. Lengths are interpolated along: the factors of the great
    circle are applied to the vectors as they are. Where the directions are parallel or opposite,
    or a vector is zero, there is no single great circle, and the straight line is used.

    Args:
        t: 0 for `start`, 1 for `end`.
        start: float32, shape (..., n).
        end: float32, of the same shape.

    Returns:
        float32 of the same shape.
    """
    cosine = cosines(start, end)
    angle = cosine.acos()
    sine = angle.sin()
    straight = (sine < SMALLEST_SINE) | (length(start) == 0.0) | (length(end) == 0.0)
    from_start = torch.where(straight, 1.0 - t, ((1.0 - t) * angle).sin() / sine)
    from_end = torch.where(straight, t, (t * angle).sin() / sine)
    return (start * from_start.float()).add_(end * from_end.float())


def arc(t: float, products: NDArray[np.float64]) -> tuple[float, float]:
    """What two whole vectors are multiplied by, to divide the arc between them (see `slerp`).

    Args:
        t: 0 for the start, 1 for the end.
        products: Inner products of the two, shape (2, 2).
    """
    lengths = math.sqrt(products[0, 0]) * math.sqrt(products[1, 1])
    cosine = float(products[0, 1]) / lengths if lengths > 0.0 else 0.0
    if not math.isfinite(cosine):
        return math.nan, math.nan  # an element is not finite, as whoever multiplies by it will see
    angle = math.acos(min(max(cosine, -1.0), 1.0))
    sine = math.sin(angle)
    if sine < SMALLEST_SINE or lengths == 0.0:
        return 1.0 - t, t
    return math.sin((1.0 - t) * angle) / sine, math.sin(t * angle) / sine


def length(vectors: Tensor) -> Tensor:
    """Euclidean norms along the last dimension, float64, shape (..., 1)."""
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True, dtype=torch.float64)
    return norms


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Cosines of the angles along the last dimension, float64, shape (..., 1); 0 for no direction."""
    product = (one * other).sum(dim=-1, keepdim=True, dtype=torch.float64)
    lengths = length(one) * length(other)
    return torch.where(lengths > 0.0, product / lengths, 0.0).clamp_(-1.0, 1.0)


def inner_products(inputs: MergeInputs) -> NDArray[np.float64]:
    """Inner products of the task vectors, or of the parents themselves if there is no base.

    Returns:
        float64, shape (parents, parents).
    """
    models = range(inputs.count)
    if inputs.has_base:
        return products_of(inputs, (None, *models), changes=True)
    return products_of(inputs, models, changes=False)


def products_of(
    inputs: MergeInputs, models: Sequence[int | None], *, changes: bool
) -> NDArray[np.float64]:
    """Inner products of models, or of their changes against the first of them.

    Args:
        inputs: The tensor that is merged.
        models: The models, by their places, None for the base.
        changes: Whether the first one is subtracted from the others.

    Raises:
        ParentError: a model is not finite.
    """
    elements = inputs.elements(*models)
    chosen = elements[1:] if changes else elements
    products = np.empty((len(chosen), len(chosen)))
    sums.inner_products(elements[0], addresses(chosen), changes, products)
    if not np.isfinite(products).all():
        inputs.tensors.require_finite()
    return products
