"""Multislerp: a weighted mean on the sphere in one step, for any number of parents (Goddard 2025)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tsugiki.errors import RecipeError
from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.method import MergeInputs, Method, ParameterSpec
from tsugiki.merge.spherical import inner_products
from tsugiki.merge.weighted import weighted_sum

SHORTEST = 1e-6
"""Length below which the mean of directions has no direction, but is what rounding has left."""


def merge(inputs: MergeInputs) -> BlockwiseMerge:
    """Project directions onto the plane that touches the sphere at their mean; average; go back.

    Raises:
        RecipeError: the weights cancel, or three or more directions do.
    """
    total = inputs.weights_summing()
    weights = np.array(inputs.per_parent["weight"]) / total
    found = factors(inner_products(inputs), weights)
    if found is None:
        raise RecipeError(
            "directions that cancel have no mean on the sphere",
            where=f"tensor {inputs.name}",
            fix="use other weights, or the method `linear`",
        )
    return weighted_sum(inputs, found, "changes")


def factors(products: NDArray[np.float64], weights: NDArray[np.float64]) -> Sequence[float] | None:
    """What each vector is multiplied by; None if there is no mean.

    With the weights that the mean m of the directions u_i has been made with, the average in the
    plane that touches the sphere at m is m itself: sum_i w_i (u_i - (u_i . m) m) = s m - (s m . m) m
    = 0, where s is the length of sum_i w_i u_i. What is left is m, made as long as the vectors are.

    Args:
        products: Inner products of the vectors, shape (n, n).
        weights: They sum to one.
    """
    lengths = np.sqrt(products.diagonal())
    directions = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0.0)
    shares = weights * directions
    length = math.sqrt(max(float(shares @ products @ shares), 0.0))
    if length < SHORTEST:
        return list(weights) if not lengths.any() or len(weights) <= 2 else None
    radius = float(weights @ lengths)
    return list(shares * (radius / length))


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
