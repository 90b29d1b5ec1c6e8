"""Slerp: a point on the great circle from the base to one parent (Shoemake 1985)."""

from __future__ import annotations

import torch
from torch import Tensor

from tsugiki.merge.blockwise import BlockwiseMerge, weighted_sum
from tsugiki.merge.inputs import MergeInputs
from tsugiki.merge.method import Method, ParameterSpec
from tsugiki.merge.spherical import arc, products_of


def factors(inputs: MergeInputs) -> tuple[float, float]:
    """What base and parent, each taken as one vector, are multiplied by."""
    return arc(inputs.per_parent["t"][0], products_of(inputs, (None, 0), changes=False))


def merge(inputs: MergeInputs) -> Tensor:
    """Interpolate between the two tensors."""
    of_base, of_parent = factors(inputs)
    merged = inputs.tensors.base() * of_base
    return merged.add_(inputs.tensors.parent(0) * of_parent)


def merge_blockwise(inputs: MergeInputs, dtype: torch.dtype) -> BlockwiseMerge:
    """Interpolate between the two tensors, by the compiled loop."""
    return weighted_sum(inputs, factors(inputs), dtype, models=(None, 0))


METHOD = Method(
    name="slerp",
    title="Spherical interpolation",
    paper="Shoemake 1985, Animating rotation with quaternion curves, "
    "https://doi.org/10.1145/325165.325242",
    equation="merged = sin((1 - t) * theta) / sin(theta) * base + sin(t * theta) / sin(theta) * "
    "parent,  theta = angle between base and parent",
    merge=merge,
    blockwise=merge_blockwise,
    parameters=(
        ParameterSpec("t", True, 0.0, 1.0, 0.5, (0.0, 1.0), "0 is the base, 1 is the parent."),
    ),
    min_parents=1,
    max_parents=1,
)
