"""NuSlerp: a point on the great circle between two parents, or between their task vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from tsugiki.merge.combination import combine, combine_compiled, inner_products
from tsugiki.merge.fused import Fused
from tsugiki.merge.method import Method, OptionSpec, ParameterSpec
from tsugiki.merge.operands import Operands
from tsugiki.merge.spherical import arc, slerp


def merge(operands: Operands) -> Tensor:
    """Interpolate between two tensors as single vectors, or row by row, or column by column."""
    t = _share(operands)
    if _whole(operands):
        return combine(operands, arc(t, inner_products(operands)))
    if operands.has_base:
        start, end = operands.source.task_vector(0), operands.source.task_vector(1)
    else:
        start, end = operands.source.parent(0), operands.source.parent(1)
    if operands.options["vectors"] == "rows":
        merged = slerp(t, start, end)
    else:
        columns = slerp(t, start.transpose(0, -1), end.transpose(0, -1))
        merged = columns.transpose(0, -1).contiguous()
    return merged.add_(operands.source.base()) if operands.has_base else merged


def merge_compiled(operands: Operands, dtype: torch.dtype) -> Fused | None:
    """The same in two passes, if the tensors are single vectors."""
    t = _share(operands)
    if not _whole(operands):
        return None
    return combine_compiled(operands, arc(t, inner_products(operands)), dtype)


def _share(operands: Operands) -> float:
    return operands.per_parent["weight"][1] / operands.weights_summing()


def _whole(operands: Operands) -> bool:
    return operands.options["vectors"] == "tensor" or len(operands.shape) < 2


METHOD = Method(
    name="nuslerp",
    title="NuSlerp",
    paper="Shoemake 1985, https://doi.org/10.1145/325165.325242; between task vectors as in the "
    "method of this name in mergekit (Goddard et al. 2024, https://arxiv.org/abs/2403.13257)",
    equation="merged = base + slerp(t, parent_1 - base, parent_2 - base),  "
    "t = weight_2 / (weight_1 + weight_2); without a base, of the parents themselves",
    merge=merge,
    compiled=merge_compiled,
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
