"""A tokenizer's vocabulary and chat template, read as data, without loading the tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tsugiki.parents.sources import ParentFiles

Vocabulary = Mapping[str, int]
"""Token to id."""


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
