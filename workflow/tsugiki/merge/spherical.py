"""Interpolation along great circles, on tensors taken as single long vectors or row by row."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    """The same for two whole vectors: what each is multiplied by.

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
