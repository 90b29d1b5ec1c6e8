"""Slerp: a point on the great circle from the base to one parent (Shoemake 1985)."""

from __future__ import annotations

import torch
from torch import Tensor

from tsugiki.merge import fused
from tsugiki.merge.combination import products_of
from tsugiki.merge.method import Method, ParameterSpec
from tsugiki.merge.operands import Operands
from tsugiki.merge.spherical import arc


def factors(operands: Operands) -> tuple[float, float]:
    """What base and parent, each taken as one vector, are multiplied by."""
    return arc(operands.per_parent["t"][0], products_of(operands, (None, 0), changes=False))


def merge(operands: Operands) -> Tensor:
    """Interpolate between the two tensors."""
    of_base, of_parent = factors(operands)
    merged = operands.source.base() * of_base
    return merged.add_(operands.source.parent(0) * of_parent)


def merge_compiled(operands: Operands, dtype: torch.dtype) -> fused.Fused:
    """The same in one pass, after one for the angle."""
    return fused.weighted_sum(operands, factors(operands), dtype, models=(None, 0))


METHOD = Method(
    name="slerp",
    title="Spherical interpolation",
    paper="Shoemake 1985, Animating rotation with quaternion curves, "
    "https://doi.org/10.1145/325165.325242",
    equation="merged = sin((1 - t) * theta) / sin(theta) * base + sin(t * theta) / sin(theta) * "
    "parent,  theta = angle between base and parent",
    merge=merge,
    compiled=merge_compiled,
    parameters=(
        ParameterSpec("t", True, 0.0, 1.0, 0.5, (0.0, 1.0), "0 is the base, 1 is the parent."),
    ),
    min_parents=1,
    max_parents=1,
)
