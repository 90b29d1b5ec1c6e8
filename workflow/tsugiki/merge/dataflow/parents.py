"""The parents of models in data-flow space, and what is known of each from its headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tsugiki.contracts.recipe import DataflowRecipe, Hop
from tsugiki.errors import ParentError, RecipeError
from tsugiki.merge.models import OpenModels
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.checks.architecture import check_stacking, differences
from tsugiki.models.fault import raise_first
from tsugiki.models.kinds.layers import OWNERS, Layers
from tsugiki.models.plan import make_plan

Shape = tuple[int, ...]


def layers_of(model: Checkpoint) -> Layers:
    """Describe a parent's layers: their names and the role of each tensor.

    Raises:
        ParentError: they cannot be stacked.
    """
    raise_first(check_stacking(model.facts))
    return model.kind.stackable[str(model.kind.layers_as_in(model.config))]


def require_agreement(owner: Checkpoint, others: Sequence[Checkpoint], layers: Layers) -> None:
    """Check that the parents' layers fit into the owner's configuration.

    Settings that a user may accept to differ, such as `rope_theta`, are asked before a run or a merge
    begins (parents/between.py); layers run with the owner's.

    Raises:
        ParentError: a setting differs that nobody can accept; all differences are listed.
    """
    fixed = owner.kind.agreement.fixed - {*OWNERS, *layers.per_layer}
    faults = [
        f"{key}: {mine} / {theirs} ({owner.name} / {other.name})"
        for other in others
        for key, mine, theirs in differences(owner.facts, other.facts)
        if key in fixed
    ]
    if faults:
        raise ParentError(
            "the layers of these parents cannot stand in one model",
            where=", ".join(f"`{model.name}`" for model in (owner, *others)),
            expected="equal sizes and one architecture",
            got="\n    ".join(["", *faults]),
            fix="take layers from models that were fine-tuned from the same base",
        )


@dataclass(frozen=True)
class Parts:
    """Shapes of a parent's tensors."""

    layers: dict[int, dict[str, Shape]] = field(default_factory=dict)
    """By number, then by name within the layer."""
    before: dict[str, Shape] = field(default_factory=dict)
    """Embeddings, by whole name."""
    after: dict[str, Shape] = field(default_factory=dict)
    """Final norm and head, by whole name; no head that is tied to the embeddings."""
    outside: dict[str, Shape] = field(default_factory=dict)
    """What goes along with the owner as it is, such as a vision tower, by stored name."""


def parts_of(model: Checkpoint) -> Parts:
    """Assign a parent's tensors to its layers, embeddings, final norm and head.

    Raises:
        ParentError: it has a tensor whose use is not known, or lacks a layer.
    """
    known = layers_of(model)
    parts = Parts()
    for planned in make_plan([model]).tensors:
        if planned.name in model.outside:
            parts.outside[planned.name] = planned.shape
        elif within := known.within(planned.name):
            number, name = within
            parts.layers.setdefault(number, {})[name] = planned.shape
        elif model.kind.use(planned.name) == "embeddings":
            parts.before[planned.name] = planned.shape
        else:
            parts.after[planned.name] = planned.shape
    declared = int(model.config.get(known.count, len(parts.layers)))
    if sorted(parts.layers) != list(range(declared)):
        raise ParentError(
            f"parent `{model.name}` does not have the layers that its configuration declares",
            where=str(model.folder),
            expected=f"layers 0 to {declared - 1}",
            got=f"{len(parts.layers)} layers",
            fix="fetch the model again",
        )
    return parts


class DataflowParents:
    """Reads each parent's headers once, for all recipes."""

    def __init__(self, models: OpenModels) -> None:
        self.models = models
        self._parts: dict[str, Parts] = {}

    def check(self, recipe: DataflowRecipe) -> Layers:
        """Check that a recipe's parents can stand in one model; returns what is known of their layers.

        Raises:
            RecipeError: the recipe names a model that is not here.
            LineageError: a parent is not the one that the recipe was made for.
            ParentError: they differ in a setting that layers depend on, or their layers cannot be
                stacked.
        """
        self.models.require(recipe)
        owner = self.checkpoint(recipe.owner)
        layers = layers_of(owner)
        others = [self.checkpoint(ref.name) for ref in recipe.parents if ref.name != recipe.owner]
        require_agreement(owner, others, layers)
        return layers

    def checkpoint(self, name: str) -> Checkpoint:
        """A parent's folder."""
        return self.models.checkpoints[name]

    def config(self, name: str) -> Mapping[str, Any]:
        """Settings of what is merged of a parent, defaults filled in, nested keys joined by dots."""
        return self.checkpoint(name).facts.core_settings

    def parts(self, name: str) -> Parts:
        """Shapes of a parent's tensors, by their place."""
        if name not in self._parts:
            self._parts[name] = parts_of(self.checkpoint(name))
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
