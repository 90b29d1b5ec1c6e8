"""A model's tokenizer and chat template: read as data, and as transformers loads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tsugiki.canonical import digest
from tsugiki.models.fault import Fault
from tsugiki.models.kinds.text import LAYOUT, OTHERS, TOKENIZER
from tsugiki.models.sources import ParentFiles

PLAIN = {"tokenizer.json", "vocab.json", "vocab.txt"}
"""Vocabularies that are plain data."""
READERS = ("sentencepiece", "tiktoken")
"""Libraries that read the other ones; without them transformers may load an empty vocabulary."""
PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
"""What a tokenizer does to a text, besides looking up its tokens."""


@dataclass(frozen=True)
class LoadedTokenizer:
    """What transformers made of a parent's tokenizer files, or why it made nothing."""

    vocabulary: Mapping[str, int] = field(default_factory=dict)
    """Token to id."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Digests of `PARTS`, of the `model` that splits words into tokens, and of its `tokens`."""
    refusal: str | None = None
    """Why it cannot be loaded."""


def load_tokenizer(files: ParentFiles, *, trusted: bool) -> LoadedTokenizer | None:
    """Load a parent's tokenizer as an evaluation does, from files alone. No code that comes with it is run.

    Returns:
        None if there is no tokenizer, or one that needs code of its own that is trusted. Errors are those of `files`.
    """
    present = {name for name in TOKENIZER if name in files.sizes}
    if not present or (trusted and _has_code(files)):
        return None
    if not present & PLAIN and not any(find_spec(reader) for reader in READERS):
        refusal = f"{' and '.join(sorted(present))} alone, which needs sentencepiece to be read"
        return LoadedTokenizer(refusal=refusal)
    from transformers import AutoTokenizer

    with TemporaryDirectory(prefix="tsugiki-tokenizer-") as folder:
        for name in {*TOKENIZER, *OTHERS, LAYOUT.config} & files.sizes.keys():
            (Path(folder) / name).write_bytes(files.read(name))
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # noqa: BLE001 - tokenizers raises Exception itself
            if LAYOUT.config not in files.sizes:  # an adapter's, which may need that of its base
                return None
            lines = str(error).strip().splitlines() or [""]
            return LoadedTokenizer(refusal=f"{type(error).__name__}: {lines[0]}")
    backend = getattr(tokenizer, "backend_tokenizer", None)
    parts = _parts(json.loads(backend.to_str())) if backend is not None else {}
    return LoadedTokenizer(tokenizer.get_vocab(), parts)


def _has_code(files: ParentFiles) -> bool:
    if "tokenizer_config.json" not in files.sizes:
        return False
    return "auto_map" in json.loads(files.read("tokenizer_config.json"))


def _parts(content: Mapping[str, Any]) -> dict[str, str]:
    model = dict(content["model"])
    tokens = model.pop("vocab", None)
    named = {part: content.get(part) for part in PARTS} | {"model": model, "tokens": tokens}
    return {part: digest(value) for part, value in named.items()}


Vocabulary = Mapping[str, int]
"""Token to id."""


@dataclass(frozen=True)
class TokenizerData:
    """What a parent's tokenizer files say, as far as they could be read."""

    vocabulary: Vocabulary | None = None
    template: str | None = None
    """The default chat template."""
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The tokens that were added: entries of tokenizer.json, by content."""
    loaded: LoadedTokenizer | None = None
    """What transformers makes of them; None if there is none, or only code makes one."""


def read_tokenizer(
    name: str, files: ParentFiles, *, trusted: bool = False
) -> tuple[TokenizerData, list[Fault]]:
    """Read a parent's tokenizer as data, and see what transformers makes of it.

    A vocabulary that is no plain data is the one that transformers loads, if it can. Errors are
    those of `files`.
    """
    try:
        vocabulary, added = read_vocabulary(files)
        template = read_template(files)
        loaded = load_tokenizer(files, trusted=trusted)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return TokenizerData(), [
            Fault(
                f"the tokenizer of `{name}` cannot be read",
                files.where,
                got=f"{type(error).__name__}: {error}",
                fix="fetch or copy the tokenizer's files again",
            )
        ]
    if vocabulary is None and loaded is not None:
        vocabulary = loaded.vocabulary or None
    return TokenizerData(vocabulary, template, added, loaded), []


def read_vocabulary(files: ParentFiles) -> tuple[Vocabulary | None, dict[str, dict[str, Any]]]:
    """The tokens of a parent and their ids, and those that were added to its tokenizer.

    Added tokens are matched in a text before it is split into pieces.

    Returns:
        All tokens, added ones included; None if the tokenizer is stored in a form that is not plain data
        (tokenizer.model alone), or if there is none. And of the added ones, by content, what
        tokenizer.json says of each.

    Raises:
        ValueError: a tokenizer file cannot be read.
    """
    tokens: dict[str, int] | None = None
    more = _json(files, "added_tokens.json") if "added_tokens.json" in files.sizes else {}
    listed: Sequence[Mapping[str, Any]] = [
        {"id": index, "content": token, "special": True} for token, index in more.items()
    ]
    if "tokenizer.json" in files.sizes:
        content = _json(files, "tokenizer.json")
        listed = _added(content)
        tokens = _ids("tokenizer.json", _model_tokens(content))
        tokens |= _ids("tokenizer.json", [(one["content"], one["id"]) for one in listed])
    elif "vocab.json" in files.sizes:
        tokens = _ids("vocab.json", _json(files, "vocab.json").items())
    elif "vocab.txt" in files.sizes:
        lines = files.read("vocab.txt").decode().splitlines()
        tokens = {line: index for index, line in enumerate(lines)}
    if tokens is not None:
        tokens |= _ids("added_tokens.json", more.items())
    return tokens, {token["content"]: dict(token) for token in listed}


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


def _model_tokens(content: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    model = content.get("model")
    vocabulary = model.get("vocab") if isinstance(model, Mapping) else None
    if isinstance(vocabulary, Mapping):
        return list(vocabulary.items())
    if not isinstance(vocabulary, list):
        raise ValueError("tokenizer.json: no vocabulary under model.vocab")  # noqa: TRY004
    unigram = (piece for piece in vocabulary if isinstance(piece, list) and len(piece) == 2)
    pieces = [(token, index) for index, (token, _score) in enumerate(unigram)]
    if len(pieces) < len(vocabulary):
        raise ValueError("tokenizer.json: model.vocab is a list, but not of tokens with scores")
    return pieces


def _added(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    added = content.get("added_tokens", [])
    if not isinstance(added, list) or not all(
        isinstance(token, Mapping) and {"content", "id"} <= token.keys() for token in added
    ):
        raise ValueError("tokenizer.json: added_tokens is not a list of tokens with content and id")
    return added


def _ids(file: str, tokens: Iterable[tuple[Any, Any]]) -> dict[str, int]:
    """The tokens of a file, each with an id of its own.

    Raises:
        ValueError: naming the token that is none, or that has no such id.
    """
    ids: dict[str, int] = {}
    owners: dict[int, str] = {}
    for token, index in tokens:
        if not isinstance(token, str):
            raise ValueError(f"{file}: {token!r} is no token")  # noqa: TRY004 - the file's is wrong
        if type(index) is not int or index < 0:
            raise ValueError(f"{file}: token {token!r} has id {index!r}, not a number from 0")
        if owners.setdefault(index, token) != token:
            raise ValueError(f"{file}: tokens {owners[index]!r} and {token!r} both have id {index}")
        ids[token] = index
    return ids


def _json(files: ParentFiles, name: str) -> dict[str, Any]:
    try:
        content = json.loads(files.read(name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{name}: not a JSON object")  # noqa: TRY004 - the file's value is wrong
    return content
