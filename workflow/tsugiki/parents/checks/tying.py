"""Output heads that are tied to the embeddings, and heads that are missing."""

from __future__ import annotations

from collections.abc import Iterator

from tsugiki.parents.fault import Fault
from tsugiki.parents.model import Model


def check_tying(model: Model) -> Iterator[Fault]:
    """An untied head is stored; a tied one has the shape of the embeddings."""
    if model.embeddings is None or not model.whole:
        return
    if model.head is None:
        if not is_tied(model) and _generates(model):
            yield Fault(
                f"`{model.name}` stores no output head, and its configuration does not tie it",
                model.where,
                expected="lm_head.weight, or tie_word_embeddings: true",
                got="neither; a loader would fill the head with random numbers",
                fix="set tie_word_embeddings in its config.json, if the embeddings are its head",
            )
    elif is_tied(model):
        head, embeddings = model.tensors[model.head], model.tensors[model.embeddings]
        if head.shape != embeddings.shape:
            yield Fault(
                f"`{model.name}` ties its output head to its embeddings, but stores another head",
                f"{model.where}, {model.head}",
                expected=f"shape {list(embeddings.shape)}",
                got=f"shape {list(head.shape)}",
                fix="set tie_word_embeddings to false in its config.json",
            )


def note_tying(model: Model) -> Iterator[str]:
    """Say where equality must be seen from the weights."""
    if model.head is not None and is_tied(model):
        yield (
            f"{model.name}: stores {model.head} although it is tied to the embeddings; "
            "merging will refuse it if the two differ"
        )


def is_tied(model: Model) -> bool:
    """Whether the configuration, or its architecture's default, ties head and embeddings."""
    declared = model.config.get("tie_word_embeddings")
    return bool(model.settings.get("tie_word_embeddings") if declared is None else declared)


def _generates(model: Model) -> bool:
    names = model.config.get("architectures") or []
    return any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in names)
