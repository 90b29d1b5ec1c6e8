"""Karcher mean: the point on the sphere with the least squared distance to all parents."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tsugiki.merge.method import Method, OptionSpec, ParameterSpec
from tsugiki.merge.operands import Operands
from tsugiki.merge.spherical import exponential, length, unit


def merge(operands: Operands) -> Tensor:
    """Step from the mean of directions along the mean of the logarithms until the step is small."""
    total = operands.weights_summing()
    weights = [weight / total for weight in operands.per_parent["weight"]]
    vectors = [operands.source.parent(index).flatten() for index in range(operands.count)]
    lengths = [float(length(vector)) for vector in vectors]
    radius = sum(weight * size for weight, size in zip(weights, lengths, strict=True))
    present = [
        (unit(vector), weight)
        for vector, weight, size in zip(vectors, weights, lengths, strict=True)
        if size > 0.0 and weight != 0.0
    ]
    if not present:
        return torch.zeros(operands.shape)
    tolerance, steps = operands.number("tolerance"), int(operands.number("iterations"))
    return karcher_mean(present, tolerance, steps).mul_(radius).view(operands.shape)


def karcher_mean(points: list[tuple[Tensor, float]], tolerance: float, steps: int) -> Tensor:
    """Weighted mean of unit vectors on the sphere (Karcher 1977).

    Args:
        points: Unit vectors with their weights, which need not sum to one.
        tolerance: Length of a step, in radians, below which the search ends.
        steps: Most steps.

    Returns:
        A unit vector, float32. If the vectors cancel, the search begins at the first of them.
    """
    total = sum(weight for _, weight in points) or 1.0
    start = torch.zeros_like(points[0][0])
    for point, weight in points:
        start.add_(point * (weight / total))
    mean = unit(start) if float(length(start)) > tolerance else points[0][0].clone()
    for _ in range(steps):
        step = torch.zeros_like(mean)
        for point, weight in points:
            step.add_(_logarithm(mean, point) * (weight / total))
        if float(length(step)) < tolerance:
            break
        mean = unit(exponential(mean, step))
    return mean


def _logarithm(mean: Tensor, point: Tensor) -> Tensor:
    """The tangent at `mean` that leads to `point`; zero where it has no direction."""
    cosine = float((mean * point).sum(dtype=torch.float64))
    across = point - mean * cosine
    sine = float(length(across))
    if sine == 0.0:
        return torch.zeros_like(mean)
    return across.mul_(math.atan2(sine, cosine) / sine)


METHOD = Method(
    name="karcher",
    title="Karcher mean",
    paper="Karcher 1977, Riemannian center of mass, https://doi.org/10.1002/cpa.3160300502",
    equation="merged = r * argmin_u sum_i w_i * angle(u, parent_i)^2,  r = sum_i w_i |parent_i|,  "
    "w_i = weight_i / sum_j weight_j",
    merge=merge,
    parameters=(ParameterSpec("weight", True, 0.0, 10.0, 1.0, (0.0, 1.0), "Share of the parent."),),
    options=(
        OptionSpec("iterations", 10.0, "Most steps of the search.", 1.0, 1000.0),
        OptionSpec("tolerance", 1e-5, "Step, in radians, below which it ends.", 0.0, 1.0),
    ),
    base="unused",
)
