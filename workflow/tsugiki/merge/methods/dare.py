"""DARE: drop changes at random and rescale the rest (Yu et al. 2024), alone or before TIES."""

from __future__ import annotations

from tsugiki.merge.kernels.task_vectors import ALL, RANDOM
from tsugiki.merge.masks import cut
from tsugiki.merge.method import MergeInputs, Method
from tsugiki.merge.task_vectors import (
    DENSITY,
    LAMBDA,
    WEIGHT,
    SparseTerm,
    normalize,
    sparse_sum,
)


def scale(weight: float, density: float) -> float:
    """Factor of a kept element: the weight over the probability of being kept (section 3.2).

    That probability is the density, up to the next step of the uniform numbers.
    """
    return weight / cut(density) if density > 0.0 else 0.0


def _terms(inputs: MergeInputs) -> list[SparseTerm]:
    pairs = zip(inputs.per_parent["weight"], inputs.per_parent["density"], strict=True)
    return [
        SparseTerm(scale(weight, density), RANDOM if density < 1.0 else ALL, cut(density))
        for weight, density in pairs
    ]


PAPER = "Yu et al. 2024, Language models are super Mario, https://arxiv.org/abs/2311.03099"

LINEAR = Method(
    name="dare_linear",
    title="DARE with task arithmetic",
    paper=PAPER,
    equation="merged = base + lambda * sum_i weight_i * m_i * (parent_i - base) / density_i,  "
    "m_i = 1 with probability density_i, else 0",
    **sparse_sum(_terms, consensus=False),
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
    **sparse_sum(_terms, consensus=True),
    parameters=(WEIGHT, DENSITY),
    options=(normalize(default=False), LAMBDA),
)
