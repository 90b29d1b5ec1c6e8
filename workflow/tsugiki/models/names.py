"""What each stored tensor is called in a merge, and which tensors are not merged at all.

Parents may store the same tensor under different names, and a vision-language model stores more than
the language model that is merged. A merge therefore knows its tensors by names of its own: those of
the language model alone, as transformers stores it (`model.layers.0.…`, `lm_head.weight`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tsugiki.errors import ParentError
from tsugiki.models.grouping import BEFORE_BLOCKS

Names = Mapping[str, str | None]
"""Expression for whole stored names -> the name in the merge (`\\1` is the first group), or None for
tensors that are not merged. A tensor that no expression matches keeps its name."""

PREFIXES = (
    ("language_model.", ""),
    ("model.language_model.", "model."),
    ("model.text_model.", "model."),
)
"""Where vision-language models store their language model, and the prefix that it has by itself."""


DRAFT = re.compile(r"(?:^|\.)mtp(?:_\w+)?\.")
LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")


@dataclass(frozen=True)
class Naming:
    """A checkpoint's tensors, as a merge sees them."""

    merged: Mapping[str, str]
    """Stored name of every tensor that is merged, by its name in the merge."""
    outside: frozenset[str]
    """Stored names of the others: vision tower, projector, draft layers, what the user leaves out."""


def naming(
    model: str, stored: Collection[str], config: Mapping[str, Any], names: Names | None = None
) -> Naming:
    """Account for every tensor of a checkpoint, each exactly once.

    Args:
        model: The model's name, for messages.
        stored: Names of its tensors.
        config: Its config.json.
        names: What the user declares. Otherwise names are kept, and of a vision-language model the
            language model is found.

    Raises:
        ParentError: an expression matches no tensor, two match one, or two tensors get one name.
    """
    expressions = names or (_of_language_model(stored) if "vision_config" in config else {})
    used: set[str] = set()
    merged: dict[str, str] = {}
    outside: set[str] = set()
    for tensor in sorted(stored):
        found = [pattern for pattern in sorted(expressions) if re.fullmatch(pattern, tensor)]
        if len(found) > 1:
            raise _fault(model, "several expressions match a tensor", tensor, " and ".join(found))
        used.update(found)
        new = _renamed(model, tensor, found[0], expressions[found[0]]) if found else tensor
        if new is None or is_draft(new, config):
            outside.add(tensor)
        elif new in merged:
            raise _fault(model, "two tensors get the same name", new, f"{merged[new]} and {tensor}")
        else:
            merged[new] = tensor
    if names and (idle := sorted(names.keys() - used)):
        raise _fault(model, "an expression matches no tensor", ", ".join(idle), "no match")
    if both := sorted(merged.keys() & outside):
        raise _fault(model, "a tensor gets the name of one that is not merged", both[0], both[0])
    return Naming(merged, frozenset(outside))


def is_draft(name: str, config: Mapping[str, Any]) -> bool:
    """Whether a tensor belongs to layers that only guess tokens ahead of the model (MTP).

    They are no part of what the model computes, and transformers does not load them.
    """
    if DRAFT.search(name):
        return True
    language = config.get("text_config")
    settings = language if isinstance(language, Mapping) else config
    layers, drafts = (
        settings.get(key) for key in ("num_hidden_layers", "num_nextn_predict_layers")
    )
    layer = LAYER.search(name)
    if layer is None or not isinstance(layers, int) or not isinstance(drafts, int):
        return False
    return layers <= int(layer[1]) < layers + drafts


def _renamed(model: str, tensor: str, pattern: str, template: str | None) -> str | None:
    match = re.fullmatch(pattern, tensor)
    assert match is not None, "the pattern was chosen because it matches"
    try:
        return None if template is None else match.expand(template)
    except (re.error, IndexError) as error:
        raise _fault(model, "a name cannot be made", template or "", str(error)) from error


def _of_language_model(stored: Collection[str]) -> Names:
    for prefix, alone in PREFIXES:
        if any(name.startswith(prefix) for name in stored):
            start = re.escape(prefix)
            return {rf"{start}(.+)": rf"{alone}\1", rf"(?!{start}|lm_head\.).+": None}
    # The language model has the names that it has by itself, and only the rest is told apart.
    rest = "|".join(expression.pattern for _, expression in BEFORE_BLOCKS)
    return {rf"(?=.*?(?:{rest})).+": None}


def _fault(model: str, what: str, tensor: str, got: str) -> ParentError:
    return ParentError(
        f"the tensors of parent `{model}` cannot be named: {what}",
        where=tensor,
        expected="each tensor is matched by at most one expression, and gets a name of its own",
        got=got,
        fix=f"change `names` of parent `{model}` in the configuration",
    )
