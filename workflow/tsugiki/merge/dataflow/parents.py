"""The parents of models in data-flow space, and what is known of each from its headers.

Whether the layers of several parents can stand in one model, with one configuration.

A parent's tensors, shared out to its layers and to what stands before and after them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tsugiki.contracts.recipe import DataflowRecipe, Hop
from tsugiki.errors import ParentError, RecipeError
from tsugiki.merge.dataflow.architectures import Architecture, architecture_of
from tsugiki.merge.models import Models
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.plan import DERIVED, EMBEDDINGS, make_plan

ANY = {
    "_name_or_path",
    "architectures",
    "attention_dropout",
    "auto_map",
    "bos_token_id",
    "dtype",
    "embd_pdrop",
    "eos_token_id",
    "hidden_dropout",
    "initializer_range",
    "max_position_embeddings",
    "max_window_layers",
    "num_hidden_layers",
    "pad_token_id",
    "pretraining_tp",
    "resid_pdrop",
    "tie_word_embeddings",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "vocab_size",
}
"""Settings that do not change what a layer computes; the model gets the owner's."""


def full_config(model: Checkpoint) -> dict[str, Any]:
    """A parent's configuration with transformers' defaults filled in."""
    from transformers import AutoConfig

    full: dict[str, Any] = AutoConfig.for_model(**model.config).to_dict()
    return full


def require_agreement(
    owner: Checkpoint,
    others: Sequence[Checkpoint],
    architecture: Architecture,
    configs: Mapping[str, Mapping[str, Any]],
) -> None:
    """Check that each parent's layers mean the same under the owner's configuration.

    Args:
        owner: The parent whose configuration the model gets.
        others: The other parents.
        architecture: Of the owner.
        configs: Each one's full configuration, by name.

    Raises:
        ParentError: a setting that layers depend on differs; all differences are listed.
    """
    faults = [
        f"{key}: {mine} / {theirs} ({owner.name} / {other.name})"
        for other in others
        for key, mine, theirs in _differences(configs[owner.name], configs[other.name])
        if key not in ANY and key not in architecture.per_layer
    ]
    if faults:
        raise ParentError(
            "the layers of these parents cannot stand in one model",
            where=", ".join(f"`{model.name}`" for model in (owner, *others)),
            expected="equal settings of everything that a layer depends on",
            got="\n    ".join(["", *faults]),
            fix="take layers from models that were fine-tuned from the same base",
        )


def _differences(
    mine: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted(mine.keys() | theirs.keys()):
        if mine.get(key) != theirs.get(key):
            yield key, mine.get(key), theirs.get(key)


Shape = tuple[int, ...]
HEAD = re.compile(r"^lm_head\.(?:weight|bias)$")


@dataclass(frozen=True)
class Parts:
    """Shapes of a parent's tensors."""

    layers: dict[int, dict[str, Shape]] = field(default_factory=dict)
    """By number, then by name within the layer."""
    before: dict[str, Shape] = field(default_factory=dict)
    """Embeddings, by whole name."""
    after: dict[str, Shape] = field(default_factory=dict)
    """Final norm and head, by whole name; no head that is tied to the embeddings."""


def parts_of(model: Checkpoint, architecture: Architecture) -> Parts:
    """Share out a parent's tensors.

    Raises:
        ParentError: it has a tensor whose use is not known, or lacks a layer.
    """
    plan = make_plan([model])
    if unknown := unknown_tensors(sorted(plan.names), architecture):
        raise ParentError(
            f"parent `{model.name}` has tensors whose part in its layers is not known",
            where=str(model.folder),
            expected=f"the tensors of a {model.config.get('model_type')}",
            got=", ".join(unknown[:5]),
            fix="merge it in parameter space, or see docs/dataflow.md for how to add an "
            "architecture",
        )
    parts = Parts()
    for planned in plan.tensors:
        if within := _within_layer(planned.name, architecture):
            number, name = within
            parts.layers.setdefault(number, {})[name] = planned.shape
        elif EMBEDDINGS.search(planned.name):
            parts.before[planned.name] = planned.shape
        else:
            parts.after[planned.name] = planned.shape
    declared = int(model.config.get("num_hidden_layers", len(parts.layers)))
    if sorted(parts.layers) != list(range(declared)):
        raise ParentError(
            f"parent `{model.name}` does not have the layers that its configuration declares",
            where=str(model.folder),
            expected=f"layers 0 to {declared - 1}",
            got=f"{len(parts.layers)} layers",
            fix="fetch the model again",
        )
    return parts


def unknown_tensors(names: Iterable[str], architecture: Architecture) -> list[str]:
    """Tensors whose part is not known: in no role, and neither embeddings, final norm nor head."""
    return [name for name in names if not _is_known(name, architecture)]


def _is_known(name: str, architecture: Architecture) -> bool:
    if within := _within_layer(name, architecture):
        return within[1] in architecture.roles or DERIVED.search(name) is not None
    outside = EMBEDDINGS.search(name) or HEAD.search(name) or DERIVED.search(name)
    return outside is not None or name in architecture.final


def _within_layer(name: str, architecture: Architecture) -> tuple[int, str] | None:
    """Number of a tensor's layer, and its name there."""
    prefix = f"{architecture.layers}."
    number, _, rest = name.removeprefix(prefix).partition(".")
    return (int(number), rest) if name.startswith(prefix) and number.isdigit() else None


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
