"""Passthrough: one parent, its tensors scaled."""

from __future__ import annotations

from torch import Tensor

from tsugiki.merge.method import MergeInputs, Method, ParameterSpec


def merge(inputs: MergeInputs) -> Tensor:
    """Scale * parent."""
    return inputs.tensors.values(0) * inputs.per_parent["scale"][0]


METHOD = Method(
    name="passthrough",
    title="Passthrough",
    paper="No paper; the building block of stacked models (Akiba et al. 2024, "
    "https://arxiv.org/abs/2403.13187, scale the output of layers so)",
    equation="merged = scale * parent",
    merge=merge,
    on_device=merge,
    parameters=(
        ParameterSpec(
            "scale", True, -10.0, 10.0, 1.0, (0.5, 1.5), "Factor of the parent's tensor."
        ),
    ),
    base="unused",
    max_parents=1,
)
