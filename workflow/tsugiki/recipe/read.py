"""Recipes of either space, and reading them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from tsugiki.errors import RecipeError
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
    try:
        return _ANY.validate_json(path.read_bytes())
    except ValidationError as error:
        raise RecipeError(
            "not a valid recipe", where=str(path), got=str(error.errors()[0]["msg"])
        ) from error
