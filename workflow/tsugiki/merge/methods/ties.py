"""TIES: trim small changes, elect signs, sum what agrees (Yadav et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from tsugiki.merge.fused_vectors import Kept
from tsugiki.merge.kernels.task_vectors import LARGE
from tsugiki.merge.method import Method
from tsugiki.merge.operands import Operands
from tsugiki.merge.task_vectors import DENSITY, LAMBDA, WEIGHT, normalize
from tsugiki.merge.thinning import Thinning
from tsugiki.merge.trimming import bounds, trim


def _kept(operands: Operands) -> list[Kept]:
    pairs = zip(operands.per_parent["weight"], operands.per_parent["density"], strict=True)
    return [
        Kept(weight, LARGE, *bounds(operands, index, density))
        for index, (weight, density) in enumerate(pairs)
    ]


def _weighted(operands: Operands) -> Iterator[Tensor]:
    pairs = zip(operands.per_parent["weight"], operands.per_parent["density"], strict=True)
    for index, (weight, density) in enumerate(pairs):
        vector = operands.source.task_vector(index)
        yield trim(vector, *bounds(operands, index, density)).mul_(weight)


THINNING = Thinning(_weighted, _kept)

METHOD = Method(
    name="ties",
    title="TIES",
    paper="Yadav et al. 2023, TIES-Merging, https://arxiv.org/abs/2306.01708",
    equation="merged = base + lambda * sum_i a_i * t_i / sum_i a_i * weight_i,  "
    "t_i = weight_i * trim(parent_i - base, density_i),  "
    "a_i = [sign(t_i) = sign(sum_j t_j)]; the division only with normalize",
    merge=THINNING.merge(consensus=True),
    compiled=THINNING.compiled(consensus=True),
    parameters=(WEIGHT, DENSITY),
    options=(normalize(default=True), LAMBDA),
)
