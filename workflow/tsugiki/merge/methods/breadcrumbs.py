"""Breadcrumbs: drop the smallest and the largest changes (Davari and Belilovsky 2024)."""

from __future__ import annotations

from tsugiki.merge.kernels.task_vectors import LARGE
from tsugiki.merge.method import MergeInputs, Method, ParameterSpec
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
    names = ("weight", "density", "gamma")
    values = zip(*(inputs.per_parent[name] for name in names), strict=True)
    return [
        SparseTerm(weight, LARGE, *bounds(inputs, index, density, gamma))
        for index, (weight, density, gamma) in enumerate(values)
    ]


PAPER = "Davari and Belilovsky 2024, Model breadcrumbs, https://arxiv.org/abs/2312.06795"
GAMMA = ParameterSpec(
    "gamma", True, 0.0, 1.0, 0.01, (0.0, 0.1), "Share of the largest changes that is dropped."
)

LINEAR = Method(
    name="breadcrumbs",
    title="Breadcrumbs",
    paper=PAPER,
    equation="merged = base + lambda * sum_i weight_i * m_i * (parent_i - base),  "
    "m_i drops the share gamma_i of the largest changes and keeps the share density_i after them",
    **sparse_sum(_terms, consensus=False),
    parameters=(WEIGHT, DENSITY, GAMMA),
    options=(normalize(default=False), LAMBDA),
)

TIES = Method(
    name="breadcrumbs_ties",
    title="Breadcrumbs with TIES",
    paper=PAPER,
    equation="merged = base + lambda * sum_i a_i * t_i,  "
    "t_i = weight_i * m_i * (parent_i - base) as for breadcrumbs,  "
    "a_i = [sign(t_i) = sign(sum_j t_j)]",
    **sparse_sum(_terms, consensus=True),
    parameters=(WEIGHT, DENSITY, GAMMA),
    options=(normalize(default=False), LAMBDA),
)
