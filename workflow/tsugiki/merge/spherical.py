"""Interpolation along great circles, on tensors taken as single long vectors or row by row."""

from __future__ import annotations

import torch
from torch import Tensor

PARALLEL = 0.9995
"""Cosine beyond which two directions are taken for parallel or opposite, and lines are used."""


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
    straight = cosine.abs() > PARALLEL
    straight |= (length(start) == 0.0) | (length(end) == 0.0)
    angle = torch.where(straight, torch.ones_like(cosine), cosine.clamp(-1.0, 1.0).acos())
    sine = angle.sin()
    from_start = torch.where(straight, 1.0 - t, ((1.0 - t) * angle).sin() / sine)
    from_end = torch.where(straight, t, (t * angle).sin() / sine)
    return (start * from_start.float()).add_(end * from_end.float())


def length(vectors: Tensor) -> Tensor:
    """Euclidean norms along the last dimension, float64, shape (..., 1)."""
    return vectors.double().square().sum(dim=-1, keepdim=True).sqrt()


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Cosines of the angles along the last dimension, float64, shape (..., 1); 0 for no direction."""
    product = (one.double() * other.double()).sum(dim=-1, keepdim=True)
    lengths = length(one) * length(other)
    return torch.where(lengths > 0.0, product / lengths, 0.0)
