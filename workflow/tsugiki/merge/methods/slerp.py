"""Slerp: a point on the great circle from the base to one parent (Shoemake 1985)."""

from __future__ import annotations

from tsugiki.merge.method import MergeInputs, Method, ParameterSpec
from tsugiki.merge.spherical import arc, products_of
from tsugiki.merge.weighted import weighted_sum


def _factors(inputs: MergeInputs) -> tuple[float, float]:
    """What base and parent, each taken as one vector, are multiplied by."""
    return arc(inputs.per_parent["t"][0], products_of(inputs, (None, 0), changes=False))


METHOD = Method(
    name="slerp",
    title="Spherical interpolation",
    paper="Shoemake 1985, Animating rotation with quaternion curves, "
    "https://doi.org/10.1145/325165.325242",
    equation="merged = sin((1 - t) * theta) / sin(theta) * base + sin(t * theta) / sin(theta) * "
    "parent,  theta = angle between base and parent",
    **weighted_sum(_factors, "base and parents"),
    parameters=(
        ParameterSpec("t", True, 0.0, 1.0, 0.5, (0.0, 1.0), "0 is the base, 1 is the parent."),
    ),
    min_parents=1,
    max_parents=1,
)
