"""Multislerp: a weighted mean on the sphere in one step, for any number of parents (Goddard 2025)."""

from __future__ import annotations

import torch
from torch import Tensor

from tsugiki.errors import RecipeError
from tsugiki.merge.method import Method, ParameterSpec
from tsugiki.merge.operands import Operands
from tsugiki.merge.spherical import exponential, length, unit

SHORTEST = 1e-8
"""Length below which the mean of directions has no direction."""


def merge(operands: Operands) -> Tensor:
    """Project directions onto the plane that touches the sphere at their mean; average; go back.

    Raises:
        RecipeError: the weights cancel, or three or more directions do.
    """
    total = operands.weights_summing()
    weights = [weight / total for weight in operands.per_parent["weight"]]
    read = operands.source.task_vector if operands.has_base else operands.source.parent
    vectors = [read(index).flatten() for index in range(operands.count)]
    merged = _mean(operands, vectors, weights).view(operands.shape)
    return merged.add_(operands.source.base()) if operands.has_base else merged


def _mean(operands: Operands, vectors: list[Tensor], weights: list[float]) -> Tensor:
    directions = [unit(vector) for vector in vectors]
    mean = _weighted(directions, weights)
    if float(length(mean)) < SHORTEST:
        if all(float(length(vector)) == 0.0 for vector in vectors) or len(vectors) <= 2:
            return _weighted(vectors, weights)
        raise RecipeError(
            "directions that cancel have no mean on the sphere",
            where=f"tensor {operands.name}",
            fix="use other weights, or the method `linear`",
        )
    mean = unit(mean)
    tangent = torch.zeros_like(mean)
    for direction, weight in zip(directions, weights, strict=True):
        along = float((direction * mean).sum(dtype=torch.float64))
        tangent.add_((direction - mean * along) * weight)
    radius = sum(
        weight * float(length(vector)) for weight, vector in zip(weights, vectors, strict=True)
    )
    return exponential(mean, tangent).mul_(radius)


def _weighted(vectors: list[Tensor], weights: list[float]) -> Tensor:
    total = vectors[0] * weights[0]
    for vector, weight in zip(vectors[1:], weights[1:], strict=True):
        total.add_(vector * weight)
    return total


METHOD = Method(
    name="multislerp",
    title="Spherical interpolation of many",
    paper="Goddard 2025, https://goddard.blog/posts/multislerp-wow-what-a-cool-idea",
    equation="merged = base + r * exp_m(sum_i w_i * (u_i - (u_i . m) m)),  u_i = direction of "
    "parent_i - base,  m = direction of sum_i w_i u_i,  r = sum_i w_i |parent_i - base|,  "
    "w_i = weight_i / sum_j weight_j; without a base, of the parents themselves",
    merge=merge,
    parameters=(
        ParameterSpec("weight", True, -10.0, 10.0, 1.0, (0.0, 1.0), "Share of the parent."),
    ),
    base="optional",
    min_parents=2,
)
