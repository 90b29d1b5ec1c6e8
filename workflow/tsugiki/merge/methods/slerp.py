"""Slerp: a point on the great circle from the base to one parent (Shoemake 1985)."""

from __future__ import annotations

from torch import Tensor

from tsugiki.merge.method import Method, ParameterSpec
from tsugiki.merge.operands import Operands
from tsugiki.merge.spherical import slerp


def merge(operands: Operands) -> Tensor:
    """Interpolate between the two tensors, each taken as one vector."""
    start, end = operands.source.base().flatten(), operands.source.parent(0).flatten()
    return slerp(operands.per_parent["t"][0], start, end).view(operands.shape)


METHOD = Method(
    name="slerp",
    title="Spherical interpolation",
    paper="Shoemake 1985, Animating rotation with quaternion curves, "
    "https://doi.org/10.1145/325165.325242",
    equation="merged = sin((1 - t) * theta) / sin(theta) * base + sin(t * theta) / sin(theta) * "
    "parent,  theta = angle between base and parent",
    merge=merge,
    parameters=(
        ParameterSpec("t", True, 0.0, 1.0, 0.5, (0.0, 1.0), "0 is the base, 1 is the parent."),
    ),
    min_parents=1,
    max_parents=1,
)
