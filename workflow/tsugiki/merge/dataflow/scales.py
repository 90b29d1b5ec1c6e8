"""The running product of the input scales along a path."""

from __future__ import annotations

from collections.abc import Sequence

from tsugiki.errors import RecipeError
from tsugiki.recipe.dataflow import Hop

SMALLEST = 1e-3
"""A hop's scale is at least this large, or at most minus it: 0 would erase the embeddings."""
LARGEST_PRODUCT = 1e6
"""The running product stays between one over this and this. Its inverse scales the activations
of the folded model, whose squares a norm sums up in float32."""


def running_products(path: Sequence[Hop]) -> tuple[float, ...]:
    """For each hop, the product of the scales up to and with its own; float64.

    Raises:
        RecipeError: a scale, or a product, is too near 0 or too large.
    """
    products = []
    product = 1.0
    for number, hop in enumerate(path):
        product *= hop.scale
        if abs(hop.scale) < SMALLEST:
            raise RecipeError(
                "an input scale is too near 0",
                where=_place(number, hop),
                expected=f"a magnitude of at least {SMALLEST:g}",
                got=f"{hop.scale:g}",
            )
        if not 1 / LARGEST_PRODUCT <= abs(product) <= LARGEST_PRODUCT:
            raise RecipeError(
                "the product of the input scales is out of bounds",
                where=_place(number, hop),
                expected=f"a magnitude from {1 / LARGEST_PRODUCT:g} to {LARGEST_PRODUCT:g}",
                got=f"{product:g}",
            )
        products.append(product)
    return tuple(products)


def _place(number: int, hop: Hop) -> str:
    return f"hop {number} (layer {hop.layer} of {hop.parent})"
