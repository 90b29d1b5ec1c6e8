"""Passthrough: one parent, its tensors scaled."""

from __future__ import annotations

from torch import Tensor

from tsugiki.merge.method import Method, ParameterSpec
from tsugiki.merge.operands import Operands


def merge(operands: Operands) -> Tensor:
    """Scale * parent."""
    return operands.source.parent(0) * operands.per_parent["scale"][0]


METHOD = Method(
    name="passthrough",
    title="Passthrough",
    paper="No paper; the building block of stacked models (Akiba et al. 2024, "
    "https://arxiv.org/abs/2403.13187, scale the output of layers so)",
    equation="merged = scale * parent",
    merge=merge,
    parameters=(
        ParameterSpec(
            "scale", True, -10.0, 10.0, 1.0, (0.5, 1.5), "Factor of the parent's tensor."
        ),
    ),
    base="unused",
    max_parents=1,
)
