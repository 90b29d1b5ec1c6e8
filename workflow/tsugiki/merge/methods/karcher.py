"""Karcher mean: the point on the sphere with the least squared distance to all parents."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.method import MergeInputs, Method, OptionSpec, ParameterSpec
from tsugiki.merge.spherical import products_of
from tsugiki.merge.weighted import weighted_sum


def merge(inputs: MergeInputs) -> BlockwiseMerge:
    """The mean of the directions, made as long as the parents are."""
    products = products_of(inputs, range(inputs.count), changes=False)
    lengths = np.sqrt(products.diagonal())
    weights = np.array(inputs.per_parent["weight"]) / inputs.weights_summing()
    present = (lengths > 0.0) & (weights != 0.0)
    numbers = np.zeros(inputs.count)
    if present.any():
        sizes = lengths[present]
        cosines = products[np.ix_(present, present)] / np.outer(sizes, sizes)
        tolerance, steps = inputs.number("tolerance"), int(inputs.number("iterations"))
        mean = karcher_mean(cosines, weights[present], tolerance, steps)
        numbers[present] = mean * float(weights @ lengths) / sizes
    return weighted_sum(inputs, list(numbers), "parents")


def karcher_mean(
    cosines: NDArray[np.float64], weights: NDArray[np.float64], tolerance: float, steps: int
) -> NDArray[np.float64]:
    """Weighted mean of unit vectors on the sphere (Karcher 1977).

    The mean and all steps towards it are sums of the unit vectors, and are represented by what each
    vector is multiplied by.

    Args:
        cosines: Inner products of the unit vectors, shape (n, n).
        weights: They need not sum to one.
        tolerance: Length of a step, in radians, below which the search ends.
        steps: Most steps.

    Returns:
        What the unit vectors are multiplied by, shape (n,). If the vectors cancel, the search begins
        at the first of them.
    """
    shares = weights / (weights.sum() or 1.0)
    points = np.eye(len(shares))
    start = shares if _length(shares, cosines) > tolerance else points[0]
    mean = start / _length(start, cosines)
    for _ in range(steps):
        step = np.zeros_like(mean)
        for point, share in zip(points, shares, strict=True):
            step += share * _logarithm(mean, point, cosines)
        angle = _length(step, cosines)
        if not angle >= tolerance or angle == 0.0:
            break
        mean = math.cos(angle) * mean + math.sin(angle) / angle * step
        mean /= _length(mean, cosines)
    return mean


def _logarithm(
    mean: NDArray[np.float64], point: NDArray[np.float64], cosines: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The tangent at `mean` that leads to `point`; zero where it has no direction."""
    cosine = float(mean @ cosines @ point)
    across: NDArray[np.float64] = point - mean * cosine
    sine = _length(across, cosines)
    if sine == 0.0:
        return np.zeros_like(mean)
    return across * (math.atan2(sine, cosine) / sine)


def _length(vector: NDArray[np.float64], cosines: NDArray[np.float64]) -> float:
    return math.sqrt(max(float(vector @ cosines @ vector), 0.0))


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
