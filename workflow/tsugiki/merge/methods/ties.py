"""TIES: trim small changes, elect signs, sum what agrees (Yadav et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tsugiki.merge import fused_vectors
from tsugiki.merge.fused import Fused
from tsugiki.merge.fused_vectors import Kept
from tsugiki.merge.kernels.task_vectors import LARGE
from tsugiki.merge.method import Method
from tsugiki.merge.operands import Operands
from tsugiki.merge.task_vectors import DENSITY, LAMBDA, WEIGHT, add_task_vectors, normalize
from tsugiki.merge.trimming import bounds, trim


def merge(operands: Operands) -> Tensor:
    """Base plus the agreeing sum of weighted, trimmed task vectors."""
    return add_task_vectors(operands, _weighted(operands), consensus=True)


def merge_compiled(operands: Operands, dtype: torch.dtype) -> Fused:
    """The same in one pass, after finding the magnitudes from which on changes are kept."""
    pairs = zip(operands.per_parent["weight"], operands.per_parent["density"], strict=True)
    kept = [
        Kept(weight, LARGE, *bounds(operands, index, density))
        for index, (weight, density) in enumerate(pairs)
    ]
    return fused_vectors.add_task_vectors(operands, kept, dtype, consensus=True)


def _weighted(operands: Operands) -> Iterator[Tensor]:
    pairs = zip(operands.per_parent["weight"], operands.per_parent["density"], strict=True)
    for index, (weight, density) in enumerate(pairs):
        vector = operands.source.task_vector(index)
        yield trim(vector, *bounds(operands, index, density)).mul_(weight)


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
