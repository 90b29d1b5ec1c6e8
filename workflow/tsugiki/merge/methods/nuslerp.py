"""NuSlerp: a point on the great circle between two parents, or between their task vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.inputs import MergeInputs
from tsugiki.merge.method import Method, OptionSpec, ParameterSpec
from tsugiki.merge.spherical import arc, combine, combine_blockwise, inner_products, slerp


def merge(inputs: MergeInputs) -> Tensor:
    """Interpolate between two tensors as single vectors, or row by row, or column by column."""
    t = _share(inputs)
    if _whole(inputs):
        return combine(inputs, arc(t, inner_products(inputs)))
    if inputs.has_base:
        start, end = inputs.tensors.task_vector(0), inputs.tensors.task_vector(1)
    else:
        start, end = inputs.tensors.parent(0), inputs.tensors.parent(1)
    if inputs.options["vectors"] == "rows":
        merged = slerp(t, start, end)
    else:
        columns = slerp(t, start.transpose(0, -1), end.transpose(0, -1))
        merged = columns.transpose(0, -1).contiguous()
    return merged.add_(inputs.tensors.base()) if inputs.has_base else merged


def merge_blockwise(inputs: MergeInputs, dtype: torch.dtype) -> BlockwiseMerge | None:
    """Interpolate between two tensors, by the compiled loops, if these are single vectors."""
    t = _share(inputs)
    if not _whole(inputs):
        return None
    return combine_blockwise(inputs, arc(t, inner_products(inputs)), dtype)


def _share(inputs: MergeInputs) -> float:
    return inputs.per_parent["weight"][1] / inputs.weights_summing()


def _whole(inputs: MergeInputs) -> bool:
    return inputs.options["vectors"] == "tensor" or len(inputs.shape) < 2


METHOD = Method(
    name="nuslerp",
    title="NuSlerp",
    paper="Shoemake 1985, https://doi.org/10.1145/325165.325242; between task vectors as in the "
    "method of this name in mergekit (Goddard et al. 2024, https://arxiv.org/abs/2403.13257)",
    equation="merged = base + slerp(t, parent_1 - base, parent_2 - base),  "
    "t = weight_2 / (weight_1 + weight_2); without a base, of the parents themselves",
    merge=merge,
    blockwise=merge_blockwise,
    parameters=(
        ParameterSpec("weight", True, -10.0, 10.0, 1.0, (0.0, 1.0), "Share of the parent."),
    ),
    options=(
        OptionSpec(
            "vectors",
            "tensor",
            "What is one vector: the whole tensor, each row, or each column.",
            choices=("tensor", "rows", "columns"),
        ),
    ),
    base="optional",
    min_parents=2,
    max_parents=2,
)
