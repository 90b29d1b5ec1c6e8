"""Breadcrumbs: drop the smallest and the largest changes (Davari and Belilovsky 2024)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from tsugiki.merge.fused_vectors import Kept
from tsugiki.merge.kernels.task_vectors import LARGE
from tsugiki.merge.method import Method, ParameterSpec
from tsugiki.merge.operands import Operands
from tsugiki.merge.task_vectors import DENSITY, LAMBDA, WEIGHT, normalize
from tsugiki.merge.thinning import Thinning
from tsugiki.merge.trimming import bounds, trim


def _bounds(operands: Operands) -> Iterator[tuple[float, float]]:
    pairs = zip(operands.per_parent["density"], operands.per_parent["gamma"], strict=True)
    for index, (density, gamma) in enumerate(pairs):
        yield bounds(operands, index, density, gamma)


def _kept(operands: Operands) -> list[Kept]:
    weights = operands.per_parent["weight"]
    return [
        Kept(weight, LARGE, low, high)
        for weight, (low, high) in zip(weights, _bounds(operands), strict=True)
    ]


def _weighted(operands: Operands) -> Iterator[Tensor]:
    weights = operands.per_parent["weight"]
    for index, (weight, span) in enumerate(zip(weights, _bounds(operands), strict=True)):
        yield trim(operands.source.task_vector(index), *span).mul_(weight)


THINNING = Thinning(_weighted, _kept)
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
    merge=THINNING.merge(consensus=False),
    compiled=THINNING.compiled(consensus=False),
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
    merge=THINNING.merge(consensus=True),
    compiled=THINNING.compiled(consensus=True),
    parameters=(WEIGHT, DENSITY, GAMMA),
    options=(normalize(default=False), LAMBDA),
)
