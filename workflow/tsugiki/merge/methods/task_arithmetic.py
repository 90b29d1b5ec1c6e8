"""Task arithmetic: add weighted task vectors to the base (Ilharco et al. 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from tsugiki.merge import fused_vectors
from tsugiki.merge.fused import Fused
from tsugiki.merge.fused_vectors import Kept
from tsugiki.merge.method import Method
from tsugiki.merge.operands import Operands
from tsugiki.merge.task_vectors import LAMBDA, WEIGHT, add_task_vectors, normalize


def merge(operands: Operands) -> Tensor:
    """Base plus the sum of weight * (parent - base)."""
    return add_task_vectors(
        operands,
        (
            operands.source.task_vector(index) * weight
            for index, weight in enumerate(operands.per_parent["weight"])
        ),
        consensus=False,
    )


def merge_compiled(operands: Operands, dtype: torch.dtype) -> Fused:
    """The same in one pass."""
    kept = [Kept(weight) for weight in operands.per_parent["weight"]]
    return fused_vectors.add_task_vectors(operands, kept, dtype, consensus=False)


METHOD = Method(
    name="task_arithmetic",
    title="Task arithmetic",
    paper="Ilharco et al. 2023, Editing models with task arithmetic, "
    "https://arxiv.org/abs/2212.04089",
    equation="merged = base + lambda * sum_i weight_i * (parent_i - base)",
    merge=merge,
    compiled=merge_compiled,
    parameters=(WEIGHT,),
    options=(normalize(default=False), LAMBDA),
)
