"""Linear: the weighted average of the parents (Wortsman et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from tsugiki.merge.blockwise import BlockwiseMerge, weighted_sum
from tsugiki.merge.inputs import MergeInputs
from tsugiki.merge.method import Method, OptionSpec, ParameterSpec


def shares(inputs: MergeInputs) -> tuple[float, ...]:
    """Weights of the parents, divided by their sum if `normalize` is set."""
    weights = inputs.per_parent["weight"]
    if not inputs.flag("normalize"):
        return weights
    total = inputs.weights_summing()
    return tuple(weight / total for weight in weights)


def merge(inputs: MergeInputs) -> Tensor:
    """Sum of share * parent."""
    weights = shares(inputs)
    merged = inputs.tensors.parent(0) * weights[0]
    for index in range(1, inputs.count):
        merged.add_(inputs.tensors.parent(index) * weights[index])
    return merged


def merge_blockwise(inputs: MergeInputs, dtype: torch.dtype) -> BlockwiseMerge:
    """Sum of share * parent, by the compiled loop."""
    return weighted_sum(inputs, shares(inputs), dtype)


METHOD = Method(
    name="linear",
    title="Linear (model soup)",
    paper="Wortsman et al. 2022, Model soups, https://arxiv.org/abs/2203.05482",
    equation="merged = sum_i w_i * parent_i,  w_i = weight_i / sum_j weight_j",
    merge=merge,
    blockwise=merge_blockwise,
    elementwise=True,
    parameters=(
        ParameterSpec("weight", True, -10.0, 10.0, 1.0, (0.0, 1.0), "Share of the parent."),
    ),
    options=(OptionSpec("normalize", True, "Divide the weights by their sum."),),
    base="unused",
)
