"""Linear: the weighted average of the parents (Wortsman et al. 2022)."""

from __future__ import annotations

from tsugiki.merge.method import MergeInputs, Method, OptionSpec, ParameterSpec
from tsugiki.merge.weighted import weighted_sum


def _shares(inputs: MergeInputs) -> tuple[float, ...]:
    """Weights of the parents, divided by their sum if `normalize` is set."""
    weights = inputs.per_parent["weight"]
    if not inputs.flag("normalize"):
        return weights
    total = inputs.weights_summing()
    return tuple(weight / total for weight in weights)


METHOD = Method(
    name="linear",
    title="Linear (model soup)",
    paper="Wortsman et al. 2022, Model soups, https://arxiv.org/abs/2203.05482",
    equation="merged = sum_i w_i * parent_i,  w_i = weight_i / sum_j weight_j",
    **weighted_sum(_shares, "parents", elementwise=True),
    parameters=(
        ParameterSpec("weight", True, -10.0, 10.0, 1.0, (0.0, 1.0), "Share of the parent."),
    ),
    options=(OptionSpec("normalize", True, "Divide the weights by their sum."),),
    base="unused",
)
