"""A parent's tensors, shared out to its layers and to what stands before and after them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tsugiki.errors import ParentError
from tsugiki.merge.checkpoint import Checkpoint
from tsugiki.merge.dataflow.architecture import Architecture
from tsugiki.merge.plan import EMBEDDINGS, make_plan

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
    numbered = re.compile(rf"^{re.escape(architecture.layers)}\.(\d+)\.(.+)$")
    parts = Parts()
    unknown = []
    for planned in make_plan([model]).tensors:
        if match := numbered.match(planned.name):
            parts.layers.setdefault(int(match[1]), {})[match[2]] = planned.shape
            if match[2] not in architecture.roles:
                unknown.append(planned.name)
        elif EMBEDDINGS.search(planned.name):
            parts.before[planned.name] = planned.shape
        elif planned.name in architecture.final or HEAD.search(planned.name):
            parts.after[planned.name] = planned.shape
        else:
            unknown.append(planned.name)
    if unknown:
        raise ParentError(
            f"parent `{model.name}` has tensors whose part in its layers is not known",
            where=str(model.folder),
            expected=f"the tensors of a {model.config.get('model_type')}",
            got=", ".join(unknown[:5]),
            fix="merge it in parameter space, or see docs/dataflow.md for how to add an "
            "architecture",
        )
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
