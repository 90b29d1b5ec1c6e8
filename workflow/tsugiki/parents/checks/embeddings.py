"""Rows of the embeddings against the vocabulary."""

from __future__ import annotations

from collections.abc import Iterator

from tsugiki.parents.fault import Fault, listed
from tsugiki.parents.model import Model


def check_embeddings(model: Model) -> Iterator[Fault]:
    """Every token has a row, and the configuration states the number of rows.

    More rows than tokens are padding, and right.
    """
    if model.embeddings is None:
        return
    rows = model.tensors[model.embeddings].shape[0]
    text = model.config.get("text_config")
    declared = (text if isinstance(text, dict) else model.config).get("vocab_size")
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


def note_padding(model: Model) -> Iterator[str]:
    """Say where rows are padding."""
    if model.embeddings is None or not model.vocabulary:
        return
    rows = model.tensors[model.embeddings].shape[0]
    used = max(model.vocabulary.values()) + 1
    if used < rows:
        yield f"{model.name}: {rows - used} of {rows} embedding rows are padding; all are kept"
