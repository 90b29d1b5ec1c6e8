"""The small files of a prepared parent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tsugiki.canonical import pretty_json
from tsugiki.models.kinds.text import OTHERS, TOKENIZER
from tsugiki.models.sources import ParentFiles
from tsugiki.parents.prepare.alignment import FILES, ROLES, Alignment, tokenizer_files
from tsugiki.parents.prepare.plan import Preparation
from tsugiki.parents.prepare.token_ids import with_rows, with_vocabulary

TEMPLATES = ("chat_template.jinja", "chat_template.json")
GENERATION = "generation_config.json"


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter's tokenizer and chat template, if it has them, and all else of its base."""

    adapter: ParentFiles
    base: ParentFiles

    @property
    def where(self) -> str:
        """The adapter's folder."""
        return self.adapter.where

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file, by name."""
        mine = self.adapter.sizes
        group = {*FILES, ROLES} if any(name in mine for name in TOKENIZER) else set()
        group |= {*TEMPLATES} if group or any(name in mine for name in TEMPLATES) else set()
        kept = {name: size for name, size in self.base.sizes.items() if name not in group}
        return kept | {name: mine[name] for name in group if name in mine}

    def read(self, name: str) -> bytes:
        """A small file."""
        return self._holder(name).read(name)

    def start(self, name: str, count: int) -> bytes:
        """The first `count` bytes of a file, or all of it if it is shorter."""
        return self._holder(name).start(name, count)

    def _holder(self, name: str) -> ParentFiles:
        tokenizer = {*FILES, ROLES, *TEMPLATES}
        return self.adapter if name in tokenizer & self.adapter.sizes.keys() else self.base


def small_files(
    name: str, preparation: Preparation, files: dict[str, ParentFiles], *, code: bool
) -> dict[str, bytes]:
    """Configuration, tokenizer, chat template and the like of a prepared parent, by name.

    Args:
        name: The parent.
        preparation: What is prepared.
        files: Files of every parent, those of adapters completed by their bases'.
        code: Whether modelling code is needed too.

    Raises:
        ParentError: tokens cannot be added to the tokenizer.
    """
    own = files[name]
    kept = [
        entry
        for entry in own.sizes
        if entry in {*TOKENIZER, *OTHERS} or (code and entry.endswith(".py"))
    ]
    content = {entry: own.read(entry) for entry in sorted(kept)}
    config = json.loads(own.read("config.json"))
    alignment = preparation.alignment
    if alignment is None or not preparation.is_aligned(name):
        rows = preparation.models[name].rows
        content["config.json"] = pretty_json(with_rows(config, rows) if rows else config)
        return content
    owner = files[alignment.owner]
    content = {entry: data for entry, data in content.items() if entry not in {*FILES, ROLES}}
    content |= tokenizer_files(owner, own, alignment)
    moved = _moved(config, preparation, name, alignment, _json(owner, "config.json"))
    content["config.json"] = pretty_json(with_rows(moved, alignment.rows))
    if GENERATION in content:
        settings = json.loads(content[GENERATION])
        moved = _moved(settings, preparation, name, alignment, _json(owner, GENERATION))
        content[GENERATION] = pretty_json(moved)
    return content


def _moved(
    config: dict[str, Any],
    preparation: Preparation,
    name: str,
    alignment: Alignment,
    owner: dict[str, Any],
) -> dict[str, Any]:
    own = preparation.sources[name].vocabulary or {}
    return with_vocabulary(config, own, alignment.vocabulary, owner)


def _json(files: ParentFiles, name: str) -> dict[str, Any]:
    return dict(json.loads(files.read(name))) if name in files.sizes else {}
