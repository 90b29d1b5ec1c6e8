"""The parents of models in data-flow space, and what is known of each from its headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsugiki.errors import RecipeError
from tsugiki.merge.checkpoint import Checkpoint
from tsugiki.merge.dataflow.agreement import full_config, require_agreement
from tsugiki.merge.dataflow.architecture import Architecture
from tsugiki.merge.dataflow.layers import Parts, Shape, parts_of
from tsugiki.merge.dataflow.registry import architecture_of
from tsugiki.merge.models import Models
from tsugiki.recipe.dataflow import DataflowRecipe, Hop


class DataflowParents:
    """Reads each parent's configuration and headers once, for all recipes."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self._configs: dict[str, Mapping[str, Any]] = {}
        self._parts: dict[str, Parts] = {}

    def check(self, recipe: DataflowRecipe) -> Architecture:
        """Check that a recipe's parents can stand in one model; returns their architecture.

        Raises:
            RecipeError: the recipe names a model that is not here.
            LineageError: a parent is not the one that the recipe was made for.
            ParentError: they differ in a setting that layers depend on, or their layers cannot be
                stacked.
        """
        self.models.require(recipe)
        owner = self.checkpoint(recipe.owner)
        architecture = architecture_of(owner)
        others = [self.checkpoint(ref.name) for ref in recipe.parents if ref.name != recipe.owner]
        configs = {model.name: self.config(model.name) for model in (owner, *others)}
        require_agreement(owner, others, architecture, configs)
        return architecture

    def checkpoint(self, name: str) -> Checkpoint:
        """A parent's folder."""
        return self.models.checkpoints[name]

    def config(self, name: str) -> Mapping[str, Any]:
        """A parent's configuration with all defaults filled in."""
        if name not in self._configs:
            self._configs[name] = full_config(self.checkpoint(name))
        return self._configs[name]

    def parts(self, name: str) -> Parts:
        """Shapes of a parent's tensors, by their place."""
        if name not in self._parts:
            checkpoint = self.checkpoint(name)
            self._parts[name] = parts_of(checkpoint, architecture_of(checkpoint))
        return self._parts[name]

    def layer(self, number: int, hop: Hop) -> Mapping[str, Shape]:
        """Shapes of the tensors of the layer that a hop goes through.

        Raises:
            RecipeError: the layer, or a tensor that the hop has a factor for, does not exist.
        """
        layers = self.parts(hop.parent).layers
        if hop.layer not in layers:
            raise RecipeError(
                "the path goes through a layer that does not exist",
                where=f"hop {number}",
                expected=f"a layer from 0 to {len(layers) - 1} of `{hop.parent}`",
                got=f"layer {hop.layer}",
            )
        shapes = layers[hop.layer]
        if unknown := sorted(hop.factors.keys() - shapes.keys()):
            raise RecipeError(
                "the path gives a factor to a tensor that does not exist",
                where=f"hop {number} (layer {hop.layer} of {hop.parent})",
                expected=", ".join(sorted(shapes)),
                got=", ".join(unknown),
            )
        return shapes
