"""A tokenizer's vocabulary and chat template, read as data, without loading the tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tsugiki.parents.fault import Fault
from tsugiki.parents.sources import ParentFiles

Vocabulary = Mapping[str, int]
"""Token to id."""


@dataclass(frozen=True)
class TokenizerData:
    """What a parent's tokenizer files say, as far as they could be read."""

    vocabulary: Vocabulary | None = None
    template: str | None = None
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_tokenizer(name: str, files: ParentFiles) -> tuple[TokenizerData, list[Fault]]:
    """Read a parent's tokenizer as data.

    Raises:
        ParentError: the Hub refuses access.
        InfrastructureError: the Hub has become unreachable, or its cache cannot be written.
    """
    try:
        return TokenizerData(read_vocabulary(files), read_template(files), read_added(files)), []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return TokenizerData(), [
            Fault(
                f"the tokenizer of `{name}` cannot be read",
                files.where,
                got=f"{type(error).__name__}: {error}",
                fix="fetch or copy the tokenizer's files again",
            )
        ]


def read_vocabulary(files: ParentFiles) -> Vocabulary | None:
    """The tokens of a parent and their ids, added tokens included.

    Returns:
        None if the tokenizer is stored in a form that is not plain data (tokenizer.model alone),
        or if there is none.

    Raises:
        ValueError: a tokenizer file cannot be read.
    """
    tokens: dict[str, int] = {}
    if "tokenizer.json" in files.sizes:
        content = _json(files, "tokenizer.json")
        tokens |= _model_tokens(content["model"]["vocab"])
        tokens |= {token["content"]: token["id"] for token in content.get("added_tokens", [])}
    elif "vocab.json" in files.sizes:
        tokens |= _json(files, "vocab.json")
    elif "vocab.txt" in files.sizes:
        lines = files.read("vocab.txt").decode().splitlines()
        tokens |= {line: index for index, line in enumerate(lines)}
    else:
        return None
    if "added_tokens.json" in files.sizes:
        tokens |= _json(files, "added_tokens.json")
    return tokens


def read_added(files: ParentFiles) -> dict[str, dict[str, Any]]:
    """The tokens that were added to a tokenizer, with what tokenizer.json says of each, by content.

    They are matched in a text before it is split into pieces.

    Raises:
        ValueError: a tokenizer file cannot be read.
    """
    if "tokenizer.json" in files.sizes:
        listed = _json(files, "tokenizer.json").get("added_tokens", [])
        return {token["content"]: dict(token) for token in listed}
    if "added_tokens.json" in files.sizes:
        return {
            token: {"id": index, "content": token, "special": True}
            for token, index in _json(files, "added_tokens.json").items()
        }
    return {}


def read_template(files: ParentFiles) -> str | None:
    """The default chat template of a parent, from wherever its version of the library put it.

    Raises:
        ValueError: a tokenizer file cannot be read.
    """
    if "chat_template.jinja" in files.sizes:
        return files.read("chat_template.jinja").decode()
    for name in ("chat_template.json", "tokenizer_config.json"):
        if name in files.sizes:
            found = _json(files, name).get("chat_template")
            if isinstance(found, list):  # several named templates
                found = {entry["name"]: entry["template"] for entry in found}.get("default")
            if found is not None:
                return str(found)
    return None


def _model_tokens(vocabulary: Any) -> dict[str, int]:
    if isinstance(vocabulary, dict):
        return vocabulary
    return {token: index for index, (token, _score) in enumerate(vocabulary)}  # unigram models


def _json(files: ParentFiles, name: str) -> dict[str, Any]:
    try:
        content = json.loads(files.read(name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{name}: not a JSON object")  # noqa: TRY004 - the file's value is wrong
    return content
