"""Linear: the weighted average of the parents (Wortsman et al. 2022)."""

from __future__ import annotations

from torch import Tensor

from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.method import MergeInputs, Method, OptionSpec, ParameterSpec
from tsugiki.merge.weighted import weighted_sum


def _shares(inputs: MergeInputs) -> tuple[float, ...]:
    """Weights of the parents, divided by their sum if `normalize` is set."""
    weights = inputs.per_parent["weight"]
    if not inputs.flag("normalize"):
        return weights
    total = inputs.weights_summing()
    return tuple(weight / total for weight in weights)


def merge(inputs: MergeInputs) -> BlockwiseMerge:
    """Sum of share * parent."""
    return weighted_sum(inputs, _shares(inputs), "parents")


def on_device(inputs: MergeInputs) -> Tensor:
    """The same in torch."""
    first, *others = _shares(inputs)
    total = inputs.tensors.values(0) * first
    for index, share in enumerate(others, 1):
        total.add_(inputs.tensors.values(index) * share)
    return total


METHOD = Method(
    name="linear",
    title="Linear (model soup)",
    paper="Wortsman et al. 2022, Model soups, https://arxiv.org/abs/2203.05482",
    equation="merged = sum_i w_i * parent_i,  w_i = weight_i / sum_j weight_j",
    merge=merge,
    on_device=on_device,
    parameters=(
        ParameterSpec("weight", True, -10.0, 10.0, 1.0, (0.0, 1.0), "Share of the parent."),
    ),
    options=(OptionSpec("normalize", True, "Divide the weights by their sum."),),
    base="unused",
)
