"""A recipe as parameters of a run in MLflow."""

from __future__ import annotations

from tsugiki.recipe.dataflow import DataflowRecipe, Hop
from tsugiki.recipe.read import AnyRecipe
from tsugiki.recipe.recipe import SHARED, Recipe

MOST_VALUES = 64
"""A recipe with more values keeps them in recipe.json only: MLflow's parameters are for tables."""
LONGEST_PATH = 400
"""Hops; MLflow cuts parameters of more than 6000 characters without a word."""


def recipe_params(recipe: AnyRecipe) -> dict[str, str]:
    """What a recipe says, as far as it is short enough to be read in a table."""
    shown = {"method": recipe.method, "dtype": recipe.dtype, "tokenizer": recipe.tokenizer}
    if isinstance(recipe, DataflowRecipe):
        return shown | _path(recipe)
    return shown | _values(recipe)


def _path(recipe: DataflowRecipe) -> dict[str, str]:
    shown = {"path.length": str(len(recipe.path)), "owner": recipe.owner}
    if recipe.head is not None:
        shown["head"] = recipe.head
    if len(recipe.path) <= LONGEST_PATH:
        shown["path"] = " ".join(map(_hop, recipe.path))
    return shown


def _hop(hop: Hop) -> str:
    """`a.3`, or `a.3*0.9` where the hidden state is scaled."""
    return f"{hop.parent}.{hop.layer}" + ("" if hop.scale == 1.0 else f"*{hop.scale:g}")


def _values(recipe: Recipe) -> dict[str, str]:
    shown = {
        "mask_seed": str(recipe.mask_seed),
        **{f"option.{name}": str(value) for name, value in recipe.options.items()},
    }
    values = {
        ".".join(part for part in (name, "" if parent == SHARED else parent, group) if part): value
        for name, parameter in recipe.parameters.items()
        for parent, by_group in parameter.values.items()
        for group, value in by_group.items()
    }
    if len(values) <= MOST_VALUES:
        shown |= {name: repr(value) for name, value in values.items()}
    return shown
