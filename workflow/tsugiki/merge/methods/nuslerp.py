"""NuSlerp: a point on the great circle between two parents, or between their task vectors."""

from __future__ import annotations

from torch import Tensor

from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.method import MergeInputs, Method, OptionSpec, ParameterSpec
from tsugiki.merge.spherical import arc, inner_products, slerp
from tsugiki.merge.weighted import weighted_sum


def merge(inputs: MergeInputs) -> Tensor | BlockwiseMerge:
    """Interpolate between two tensors, each taken as one vector unless the options say otherwise."""
    t = inputs.per_parent["weight"][1] / inputs.weights_summing()
    if inputs.options["vectors"] == "tensor" or len(inputs.shape) < 2:
        return weighted_sum(inputs, arc(t, inner_products(inputs)), "changes")
    return _by_vector(inputs, t)


def _by_vector(inputs: MergeInputs, t: float) -> Tensor:
    """Interpolate between two tensors row by row, or column by column."""
    read = inputs.task_vector if inputs.has_base else inputs.tensors.values
    start, end = read(0), read(1)
    if inputs.options["vectors"] == "rows":
        merged = slerp(t, start, end)
    else:
        columns = slerp(t, start.transpose(0, -1), end.transpose(0, -1))
        merged = columns.transpose(0, -1).contiguous()
    return merged.add_(inputs.tensors.values(None)) if inputs.has_base else merged


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
