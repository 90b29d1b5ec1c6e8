"""The embeddings' rows and the output head, against configuration and vocabulary."""

from __future__ import annotations

from collections.abc import Iterator

from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, listed


def check_tying(model: ModelFacts) -> Iterator[Fault]:
    """An untied head is stored; a tied one has the shape of the embeddings."""
    if model.embeddings is None or not model.whole:
        return
    if model.head is None:
        if not model.is_tied and model.kind.needs_head(model.config):
            yield Fault(
                f"`{model.name}` stores no output head, and its configuration does not tie it",
                model.where,
                expected="a stored head, or tie_word_embeddings: true",
                got="neither; a loader would fill the head with random numbers",
                fix="set tie_word_embeddings in its config.json, if the embeddings are its head",
            )
    elif model.is_tied:
        head, embeddings = model.tensors[model.head], model.tensors[model.embeddings]
        if head.shape != embeddings.shape:
            yield Fault(
                f"`{model.name}` ties its output head to its embeddings, but stores another head",
                f"{model.where}, {model.head}",
                expected=f"shape {list(embeddings.shape)}",
                got=f"shape {list(head.shape)}",
                fix="set tie_word_embeddings to false in its config.json",
            )


def note_tying(model: ModelFacts) -> Iterator[str]:
    """Say where equality must be seen from the weights."""
    if model.head is not None and model.is_tied:
        yield (
            f"{model.name}: stores {model.head} although it is tied to the embeddings; "
            "merging will refuse it if the two differ"
        )


def check_embeddings(model: ModelFacts) -> Iterator[Fault]:
    """Every token has a row, and the configuration states the number of rows.

    More rows than tokens are padding, and right.
    """
    if model.embeddings is None:
        return
    rows = model.tensors[model.embeddings].shape[0]
    declared = model.kind.rows(model.config)
    if declared is not None and declared != rows:
        yield Fault(
            f"the embeddings of `{model.name}` do not have the rows that its configuration states",
            f"{model.where}, {model.embeddings}",
            expected=f"{declared} rows (vocab_size)",
            got=f"{rows} rows",
            fix="set vocab_size in its config.json to the number of rows",
        )
    beyond = sorted(
        (index, token) for token, index in (model.vocabulary or {}).items() if index >= rows
    )
    if beyond:
        yield Fault(
            f"the tokenizer of `{model.name}` has tokens without a row in the embeddings",
            f"{model.where}, {model.embeddings}",
            expected=f"token ids below {rows}",
            got=listed([f"{token!r} has id {index}" for index, token in beyond]),
            fix="use the tokenizer that belongs to these weights, or remove the tokens from it",
        )


def note_padding(model: ModelFacts) -> Iterator[str]:
    """Say where rows are padding."""
    if model.embeddings is None or not model.vocabulary:
        return
    rows = model.tensors[model.embeddings].shape[0]
    used = max(model.vocabulary.values()) + 1
    if used < rows:
        yield f"{model.name}: {rows - used} of {rows} embedding rows are padding; all are kept"
