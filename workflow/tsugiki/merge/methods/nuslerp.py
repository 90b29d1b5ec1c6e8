"""NuSlerp: a point on the great circle between two parents, or between their task vectors."""

from __future__ import annotations

from torch import Tensor

from tsugiki.merge.method import Method, OptionSpec, ParameterSpec
from tsugiki.merge.operands import Operands
from tsugiki.merge.spherical import slerp


def merge(operands: Operands) -> Tensor:
    """Interpolate between two tensors as single vectors, or row by row, or column by column."""
    total = operands.weights_summing()
    t = operands.per_parent["weight"][1] / total
    if operands.has_base:
        start, end = operands.source.task_vector(0), operands.source.task_vector(1)
    else:
        start, end = operands.source.parent(0), operands.source.parent(1)
    merged = _interpolate(t, start, end, str(operands.options["vectors"]))
    return merged.add_(operands.source.base()) if operands.has_base else merged


def _interpolate(t: float, start: Tensor, end: Tensor, vectors: str) -> Tensor:
    if vectors == "tensor" or start.dim() < 2:
        return slerp(t, start.flatten(), end.flatten()).view(start.shape)
    if vectors == "rows":
        return slerp(t, start, end)
    merged = slerp(t, start.transpose(0, -1), end.transpose(0, -1))
    return merged.transpose(0, -1).contiguous()


METHOD = Method(
    name="nuslerp",
    title="NuSlerp",
    paper="Shoemake 1985, https://doi.org/10.1145/325165.325242; between task vectors as in the "
    "method of this name in mergekit (Goddard et al. 2024, https://arxiv.org/abs/2403.13257)",
    equation="merged = base + slerp(t, parent_1 - base, parent_2 - base),  "
    "t = weight_2 / (weight_1 + weight_2); without a base, of the parents themselves",
    merge=merge,
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
