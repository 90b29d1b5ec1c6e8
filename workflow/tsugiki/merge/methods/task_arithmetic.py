"""Task arithmetic: add weighted task vectors to the base (Ilharco et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from tsugiki.merge.fused_vectors import Kept
from tsugiki.merge.method import Method
from tsugiki.merge.operands import Operands
from tsugiki.merge.task_vectors import LAMBDA, WEIGHT, normalize
from tsugiki.merge.thinning import Thinning


def _weighted(operands: Operands) -> Iterator[Tensor]:
    for index, weight in enumerate(operands.per_parent["weight"]):
        yield operands.source.task_vector(index) * weight


def _kept(operands: Operands) -> list[Kept]:
    return [Kept(weight) for weight in operands.per_parent["weight"]]


THINNING = Thinning(_weighted, _kept)
"""Which leaves task vectors as they are."""

METHOD = Method(
    name="task_arithmetic",
    title="Task arithmetic",
    paper="Ilharco et al. 2023, Editing models with task arithmetic, "
    "https://arxiv.org/abs/2212.04089",
    equation="merged = base + lambda * sum_i weight_i * (parent_i - base)",
    merge=THINNING.merge(consensus=False),
    compiled=THINNING.compiled(consensus=False),
    parameters=(WEIGHT,),
    options=(normalize(default=False), LAMBDA),
)
