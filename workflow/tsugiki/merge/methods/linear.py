"""Linear: the weighted average of the parents (Wortsman et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from tsugiki.merge import fused
from tsugiki.merge.method import Method, OptionSpec, ParameterSpec
from tsugiki.merge.operands import Operands


def shares(operands: Operands) -> tuple[float, ...]:
    """Weights of the parents, divided by their sum if `normalize` is set."""
    weights = operands.per_parent["weight"]
    if not operands.flag("normalize"):
        return weights
    total = operands.weights_summing()
    return tuple(weight / total for weight in weights)


def merge(operands: Operands) -> Tensor:
    """Sum of share * parent."""
    weights = shares(operands)
    merged = operands.source.parent(0) * weights[0]
    for index in range(1, operands.count):
        merged.add_(operands.source.parent(index) * weights[index])
    return merged


def merge_compiled(operands: Operands, dtype: torch.dtype) -> fused.Fused:
    """The same in one pass."""
    return fused.weighted_sum(operands, shares(operands), dtype)


METHOD = Method(
    name="linear",
    title="Linear (model soup)",
    paper="Wortsman et al. 2022, Model soups, https://arxiv.org/abs/2203.05482",
    equation="merged = sum_i w_i * parent_i,  w_i = weight_i / sum_j weight_j",
    merge=merge,
    compiled=merge_compiled,
    parameters=(
        ParameterSpec("weight", True, -10.0, 10.0, 1.0, (0.0, 1.0), "Share of the parent."),
    ),
    options=(OptionSpec("normalize", True, "Divide the weights by their sum."),),
    base="unused",
)
