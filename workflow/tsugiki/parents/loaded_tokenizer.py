"""A parent's tokenizer as transformers loads it: whether it does, and how it splits text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tsugiki.canonical import digest
from tsugiki.merge.companions import OTHERS, TOKENIZER
from tsugiki.parents.sources import ParentFiles

CONFIG = "config.json"
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
    """Load a parent's tokenizer as an evaluation does, from files alone.

    Args:
        files: The parent's files.
        trusted: Whether code that comes with it may run. Code is never run here.

    Returns:
        None if there is no tokenizer, or one that needs code of its own that is trusted.

    Raises:
        ParentError: the Hub refuses access.
        InfrastructureError: the Hub has become unreachable, or its cache cannot be written.
    """
    present = {name for name in TOKENIZER if name in files.sizes}
    if not present or (trusted and _has_code(files)):
        return None
    if not present & PLAIN and not any(find_spec(reader) for reader in READERS):
        refusal = f"{' and '.join(sorted(present))} alone, which needs sentencepiece to be read"
        return LoadedTokenizer(refusal=refusal)
    from transformers import AutoTokenizer

    with TemporaryDirectory(prefix="tsugiki-tokenizer-") as folder:
        for name in {*TOKENIZER, *OTHERS, CONFIG} & files.sizes.keys():
            (Path(folder) / name).write_bytes(files.read(name))
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # noqa: BLE001 - tokenizers raises Exception itself
            if CONFIG not in files.sizes:  # an adapter's, which may need that of its base
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
