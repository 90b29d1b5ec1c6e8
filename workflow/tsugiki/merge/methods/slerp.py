"""Slerp: a point on the great circle from the base to one parent (Shoemake 1985)."""

from __future__ import annotations

from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.method import MergeInputs, Method, ParameterSpec
from tsugiki.merge.spherical import arc, products_of
from tsugiki.merge.weighted import weighted_sum


def merge(inputs: MergeInputs) -> BlockwiseMerge:
    """The point on the arc between base and parent, each taken as one vector."""
    products = products_of(inputs, (None, 0), changes=False)
    return weighted_sum(inputs, arc(inputs.per_parent["t"][0], products), "base and parents")


METHOD = Method(
    name="slerp",
    title="Spherical interpolation",
    paper="Shoemake 1985, Animating rotation with quaternion curves, "
    "https://doi.org/10.1145/325165.325242",
    equation="merged = sin((1 - t) * theta) / sin(theta) * base + sin(t * theta) / sin(theta) * "
    "parent,  theta = angle between base and parent",
    merge=merge,
    parameters=(
        ParameterSpec("t", True, 0.0, 1.0, 0.5, (0.0, 1.0), "0 is the base, 1 is the parent."),
    ),
    min_parents=1,
    max_parents=1,
)
