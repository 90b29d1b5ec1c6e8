"""A parent's tensors, shared out to its layers and to what stands before and after them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tsugiki.errors import ParentError
from tsugiki.merge.checkpoint import Checkpoint
from tsugiki.merge.dataflow.architecture import Architecture
from tsugiki.merge.plan import DERIVED, EMBEDDINGS, make_plan

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
