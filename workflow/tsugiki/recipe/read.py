"""Recipes of either space, and reading them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from tsugiki.errors import RecipeError
from tsugiki.json_files import read_json
from tsugiki.recipe.dataflow import DataflowRecipe
from tsugiki.recipe.recipe import Recipe

AnyRecipe = Annotated[Recipe | DataflowRecipe, Field(discriminator="space")]
"""A recipe of either space; `space` in its JSON says of which."""
_ANY: TypeAdapter[Recipe | DataflowRecipe] = TypeAdapter(AnyRecipe)


def read_recipe(path: Path) -> Recipe | DataflowRecipe:
    """Read a recipe file.

    Raises:
        RecipeError: the file does not hold a valid recipe.
    """
    return read_json(path, _ANY.validate_json, "recipe", error=RecipeError)
