"""Token ids in configurations, carried over to another vocabulary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

IDS = re.compile(r"(?:^|_)token_(?:ids?|index)$|^(?:begin_)?suppress_tokens$")
"""Settings that hold an id, or a list of ids."""


def with_vocabulary(
    config: Mapping[str, Any],
    own: Mapping[str, int],
    aligned: Mapping[str, int],
    owner: Mapping[str, Any],
) -> dict[str, Any]:
    """A configuration whose token ids mean the same tokens in another vocabulary.

    An id whose token the vocabulary lacks is replaced by what the owner's configuration has there,
    or removed from its list.

    Args:
        config: config.json, generation_config.json, or a section of one.
        own: The model's vocabulary.
        aligned: The vocabulary that it gets.
        owner: The same configuration of the model whose tokenizer it gets; empty if it has none.
    """
    tokens = {index: token for token, index in sorted(own.items(), reverse=True)}

    def move(index: int) -> int | None:
        token = tokens.get(index)
        return None if token is None else aligned.get(token)

    result: dict[str, Any] = {}
    for key, value in config.items():
        other = owner.get(key)
        if isinstance(value, Mapping):
            section = other if isinstance(other, Mapping) else {}
            result[key] = with_vocabulary(value, own, aligned, section)
        elif not IDS.search(key):
            result[key] = value
        elif isinstance(value, list):
            moved = [new for index in value if (new := move(index)) is not None]
            result[key] = moved if moved or not value else other
        elif isinstance(value, int) and not isinstance(value, bool):
            moved_id = move(value)
            result[key] = other if moved_id is None else moved_id
        else:
            result[key] = value
    return result


def with_rows(config: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """A config.json with another number of embedding rows, wherever it states them."""
    text = config.get("text_config")
    if isinstance(text, Mapping) and "vocab_size" not in config:
        return {**config, "text_config": {**text, "vocab_size": rows}}
    return {**config, "vocab_size": rows}
