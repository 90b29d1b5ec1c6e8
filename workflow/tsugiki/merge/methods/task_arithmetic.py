"""Task arithmetic: add weighted task vectors to the base (Ilharco et al. 2023)."""

from __future__ import annotations

from tsugiki.merge.method import MergeInputs, Method
from tsugiki.merge.task_vectors import LAMBDA, WEIGHT, SparseTerm, normalize, sparse_sum


def _terms(inputs: MergeInputs) -> list[SparseTerm]:
    return [SparseTerm(weight) for weight in inputs.per_parent["weight"]]


METHOD = Method(
    name="task_arithmetic",
    title="Task arithmetic",
    paper="Ilharco et al. 2023, Editing models with task arithmetic, "
    "https://arxiv.org/abs/2212.04089",
    equation="merged = base + lambda * sum_i weight_i * (parent_i - base)",
    **sparse_sum(_terms, consensus=False),
    parameters=(WEIGHT,),
    options=(normalize(default=False), LAMBDA),
)
