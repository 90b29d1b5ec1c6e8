"""TIES: trim small changes, elect signs, sum what agrees (Yadav et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from tsugiki.merge import fused, kernels
from tsugiki.merge.method import Method
from tsugiki.merge.operands import Operands
from tsugiki.merge.task_vectors import DENSITY, LAMBDA, WEIGHT, add_task_vectors, normalize


def kept(density: float, numel: int) -> int:
    """How many of `numel` elements a density keeps: none for 0, otherwise at least one."""
    return max(1, math.floor(density * numel)) if density > 0.0 else 0


def smallest_kept(operands: Operands, index: int) -> float:
    """Magnitude from which on a parent's changes are kept; infinite for density 0."""
    density = operands.per_parent["density"][index]
    count = kept(density, operands.numel)
    if count == 0:
        return math.inf
    return 0.0 if count == operands.numel else operands.source.largest(index, count)


def merge(operands: Operands) -> Tensor:
    """Base plus the agreeing sum of weighted, trimmed task vectors.

    As in the authors' code, all elements as large as the last one kept are kept too.
    """
    return add_task_vectors(operands, _weighted(operands), consensus=True)


def merge_compiled(operands: Operands, dtype: torch.dtype) -> tuple[Tensor, int]:
    """The same in one pass, after finding the magnitudes from which on changes are kept."""
    kept_elements = [
        fused.Kept(weight, kernels.LARGE, smallest_kept(operands, index))
        for index, weight in enumerate(operands.per_parent["weight"])
    ]
    return fused.add_task_vectors(operands, kept_elements, dtype, consensus=True)


def _weighted(operands: Operands) -> Iterator[Tensor]:
    for index, weight in enumerate(operands.per_parent["weight"]):
        vector = operands.source.task_vector(index)
        threshold = smallest_kept(operands, index)
        yield torch.where(vector.abs() >= threshold, vector, 0.0).mul_(weight)


METHOD = Method(
    name="ties",
    title="TIES",
    paper="Yadav et al. 2023, TIES-Merging, https://arxiv.org/abs/2306.01708",
    equation="merged = base + lambda * sum_i a_i * t_i / sum_i a_i * weight_i,  "
    "t_i = weight_i * trim(parent_i - base, density_i),  "
    "a_i = [sign(t_i) = sign(sum_j t_j)]; the division only with normalize",
    merge=merge,
    compiled=merge_compiled,
    parameters=(WEIGHT, DENSITY),
    options=(normalize(default=True), LAMBDA),
)
