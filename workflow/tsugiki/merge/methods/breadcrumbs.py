"""Breadcrumbs: drop the smallest and the largest changes (Davari and Belilovsky 2024)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tsugiki.merge import fused_vectors
from tsugiki.merge.fused import Fused
from tsugiki.merge.fused_vectors import Kept
from tsugiki.merge.kernels.task_vectors import LARGE
from tsugiki.merge.method import Method, ParameterSpec
from tsugiki.merge.operands import Operands
from tsugiki.merge.task_vectors import DENSITY, LAMBDA, WEIGHT, add_task_vectors, normalize
from tsugiki.merge.trimming import bounds, trim


def merge_linear(operands: Operands) -> Tensor:
    """Base plus the sum of the weighted task vectors without their extremes."""
    return add_task_vectors(operands, _weighted(operands), consensus=False)


def merge_ties(operands: Operands) -> Tensor:
    """Base plus the agreeing sum of the weighted task vectors without their extremes."""
    return add_task_vectors(operands, _weighted(operands), consensus=True)


def compiled_linear(operands: Operands, dtype: torch.dtype) -> Fused:
    """The same as `merge_linear` in one pass, after finding the bounds of what is kept."""
    return fused_vectors.add_task_vectors(operands, _kept(operands), dtype, consensus=False)


def compiled_ties(operands: Operands, dtype: torch.dtype) -> Fused:
    """The same as `merge_ties` in one pass, after finding the bounds of what is kept."""
    return fused_vectors.add_task_vectors(operands, _kept(operands), dtype, consensus=True)


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
    merge=merge_linear,
    compiled=compiled_linear,
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
    merge=merge_ties,
    compiled=compiled_ties,
    parameters=(WEIGHT, DENSITY, GAMMA),
    options=(normalize(default=False), LAMBDA),
)
