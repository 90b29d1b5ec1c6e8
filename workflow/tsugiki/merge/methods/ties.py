"""TIES: trim small changes, elect signs, sum what agrees (Yadav et al. 2023)."""

from __future__ import annotations

from tsugiki.merge.kernels.task_vectors import LARGE
from tsugiki.merge.method import MergeInputs, Method
from tsugiki.merge.task_vectors import (
    DENSITY,
    LAMBDA,
    WEIGHT,
    SparseTerm,
    bounds,
    normalize,
    sparse_sum,
)


def _terms(inputs: MergeInputs) -> list[SparseTerm]:
    pairs = zip(inputs.per_parent["weight"], inputs.per_parent["density"], strict=True)
    return [
        SparseTerm(weight, LARGE, *bounds(inputs, index, density))
        for index, (weight, density) in enumerate(pairs)
    ]


METHOD = Method(
    name="ties",
    title="TIES",
    paper="Yadav et al. 2023, TIES-Merging, https://arxiv.org/abs/2306.01708",
    equation="merged = base + lambda * sum_i a_i * t_i / sum_i a_i * weight_i,  "
    "t_i = weight_i * trim(parent_i - base, density_i),  "
    "a_i = [sign(t_i) = sign(sum_j t_j)]; the division only with normalize",
    **sparse_sum(_terms, consensus=True),
    parameters=(WEIGHT, DENSITY),
    options=(normalize(default=True), LAMBDA),
)
