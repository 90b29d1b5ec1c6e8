"""DARE: drop changes at random and rescale the rest (Yu et al. 2024), alone or before TIES."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tsugiki.merge.fused_vectors import Kept
from tsugiki.merge.kernels.task_vectors import ALL, RANDOM
from tsugiki.merge.masks import cut
from tsugiki.merge.method import Method
from tsugiki.merge.operands import Operands
from tsugiki.merge.task_vectors import DENSITY, LAMBDA, WEIGHT, normalize
from tsugiki.merge.thinning import Thinning


def scale(weight: float, density: float) -> float:
    """Factor of a kept element: the weight over the probability of being kept (section 3.2).

    That probability is the density, up to the next step of the uniform numbers.
    """
    return weight / cut(density) if density > 0.0 else 0.0


def _kept(operands: Operands) -> list[Kept]:
    pairs = zip(operands.per_parent["weight"], operands.per_parent["density"], strict=True)
    return [
        Kept(scale(weight, density), RANDOM if density < 1.0 else ALL, cut(density))
        for weight, density in pairs
    ]


def _weighted(operands: Operands) -> Iterator[Tensor]:
    pairs = zip(operands.per_parent["weight"], operands.per_parent["density"], strict=True)
    for index, (weight, density) in enumerate(pairs):
        vector = operands.source.task_vector(index)
        if density < 1.0:
            keep = operands.source.uniforms(index, operands.mask_seed) < cut(density)
            vector = torch.where(keep, vector, 0.0)
        yield vector * scale(weight, density)


THINNING = Thinning(_weighted, _kept)
PAPER = "Yu et al. 2024, Language models are super Mario, https://arxiv.org/abs/2311.03099"

LINEAR = Method(
    name="dare_linear",
    title="DARE with task arithmetic",
    paper=PAPER,
    equation="merged = base + lambda * sum_i weight_i * m_i * (parent_i - base) / density_i,  "
    "m_i = 1 with probability density_i, else 0",
    merge=THINNING.merge(consensus=False),
    compiled=THINNING.compiled(consensus=False),
    parameters=(WEIGHT, DENSITY),
    options=(normalize(default=False), LAMBDA),
)

TIES = Method(
    name="dare_ties",
    title="DARE with TIES",
    paper=PAPER,
    equation="merged = base + lambda * sum_i a_i * t_i,  "
    "t_i = weight_i * m_i * (parent_i - base) / density_i,  "
    "m_i = 1 with probability density_i, else 0,  a_i = [sign(t_i) = sign(sum_j t_j)]",
    merge=THINNING.merge(consensus=True),
    compiled=THINNING.compiled(consensus=True),
    parameters=(WEIGHT, DENSITY),
    options=(normalize(default=False), LAMBDA),
)
