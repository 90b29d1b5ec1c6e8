"""From a recipe of either space to what makes its tensors."""

from __future__ import annotations

from tsugiki.merge.dataflow.engine import DataflowMerge
from tsugiki.merge.dataflow.parents import DataflowParents
from tsugiki.merge.engine import Merge
from tsugiki.merge.models import Models
from tsugiki.recipe.dataflow import DataflowRecipe
from tsugiki.recipe.read import AnyRecipe

AnyMerge = Merge | DataflowMerge
"""Both have a `plan`, the `format` of each tensor, `tensor` or `pieces` to make it, and an `owner` and
`config` for the files beside the weights."""


def open_merge(recipe: AnyRecipe, models: Models) -> AnyMerge:
    """Check a recipe against its models.

    Raises:
        RecipeError: the recipe describes no valid merge of these models.
        LineageError: a model is not the one that the recipe was made for.
        ParentError: the models do not fit together.
    """
    if isinstance(recipe, DataflowRecipe):
        return DataflowMerge(recipe, DataflowParents(models))
    return Merge(recipe, models)
