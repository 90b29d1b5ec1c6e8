"""Write prepared parents: ordinary checkpoints in a cache, named by what they were made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tsugiki import atomic
from tsugiki.canonical import digest, pretty_json
from tsugiki.contracts.locks import LockedFile, PreparedParent, digest_of_files
from tsugiki.merge.engine import one_thread_per_operation
from tsugiki.merge.stream import faults_of_the_disk, require_space, write_tensors
from tsugiki.models.facts import ModelFacts
from tsugiki.models.files import describe, intact, manifest_of
from tsugiki.models.headers import TensorHeader
from tsugiki.models.kinds.text import OTHERS, TOKENIZER
from tsugiki.models.sources import ParentFiles
from tsugiki.parents.prepare.plan import Preparation, row_tensors
from tsugiki.parents.prepare.tensors import (
    RowSource,
    Weights,
    adapted_weights,
    aligned_rows,
    stored_weights,
)
from tsugiki.parents.prepare.vocabulary import (
    FILES,
    ROLES,
    read_settings,
    tokenizer_files,
    with_rows,
    with_vocabulary,
)

VERSION = 1
"""To be raised when the same sources are to give other bytes."""
MANIFEST = "prepared.json"
"""What a prepared parent was made from, and the digests of its files; no part of its digest."""
TEMPLATES = ("chat_template.jinja", "chat_template.json")


@dataclass
class Sources:
    """Where prepared parents are made from."""

    preparation: Preparation
    folders: Mapping[str, Path]
    files: Mapping[str, ParentFiles]
    """By name; those of adapters completed by their bases'."""
    digests: Mapping[str, str]
    """Of the files as they were locked, by name."""
    vocabulary: dict[str, Any] | None
    """The setting, if vocabularies are aligned."""

    def inputs(self, name: str) -> dict[str, Any]:
        """All that the bytes of a prepared parent depend on. Names of parents do not count."""
        inputs: dict[str, Any] = {"version": VERSION, "model": self._identity(name)}
        alignment = self.preparation.alignment
        if alignment is not None and self.preparation.is_aligned(name):
            base = self.preparation.base
            settings = {key: value for key, value in (self.vocabulary or {}).items() if key != "of"}
            inputs["vocabulary"] = settings | {
                "of": self._identity(alignment.owner),
                "base": None if base is None else self._identity(base),
                "models": [self._identity(other) for other in self.preparation.sources],
            }
        return inputs

    def made_from(self, name: str) -> dict[str, str]:
        """Digests of the parents that a prepared one depends on, by name."""
        names = {name}
        if self.preparation.is_aligned(name):
            names |= self.preparation.sources.keys()
        names |= {
            self.preparation.adapters[one].base for one in names if one in self.preparation.adapters
        }
        return {one: self.digests[one] for one in sorted(names)}

    def weights(self, name: str) -> Weights:
        """A parent's tensors in its own vocabulary."""
        if name not in self.preparation.adapters:
            return stored_weights(name, self.folders[name])
        base = self.preparation.adapters[name].base
        return adapted_weights(
            name,
            self.folders[name],
            stored_weights(base, self.folders[base]),
            self.preparation.changes[name],
            self.preparation.sources[base].embeddings,
        )

    def _identity(self, name: str) -> list[str]:
        names = [
            name,
            *([self.preparation.adapters[name].base] if name in self.preparation.adapters else []),
        ]
        return [self.digests[one] for one in names]


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
        own = name in self.adapter.sizes and name in {*FILES, ROLES, *TEMPLATES}
        return self.adapter if own else self.base


def ensure_prepared(
    name: str, sources: Sources, cache: Path, *, code: bool, log: Callable[[str], None]
) -> PreparedParent:
    """Write a prepared parent, unless the cache holds it undamaged.

    Memory holds a few tensors at a time.

    Raises:
        ParentError: a source cannot be read, or tokens cannot be added to the tokenizer.
        InfrastructureError: the disk is full or fails.
    """
    inputs = sources.inputs(name)
    key = digest(inputs)
    folder = cache / f"{name}-{key[:12]}"
    if (files := intact(folder, MANIFEST, inputs)) is None:
        log(f"{sources.preparation.describe(name)}; writing {folder.name}")
        with faults_of_the_disk(folder), one_thread_per_operation():
            files = _write(folder, name, sources, inputs, code=code)
    return PreparedParent(
        folder=folder.name,
        key=key,
        vocabulary=sources.vocabulary if sources.preparation.is_aligned(name) else None,
        made_from=sources.made_from(name),
        files=files,
        digest=digest_of_files(files),
    )


def _write(
    folder: Path, name: str, sources: Sources, inputs: Mapping[str, Any], *, code: bool
) -> tuple[LockedFile, ...]:
    stored = _stored_tensors(sources.preparation.models[name])
    tensor = _tensors(name, sources)
    require_space(folder.parent, sum(entry.size for entry in stored.values()))
    with atomic.folder(folder, replace=True) as temporary:
        for file, content in _small_files(name, sources, code=code).items():
            (temporary / file).write_bytes(content)
        write_tensors(
            temporary, stored, tensor, layout=sources.preparation.models[name].kind.layout
        )
        files = tuple(describe(path) for path in sorted(temporary.iterdir()))
        (temporary / MANIFEST).write_bytes(manifest_of(inputs, files))
    return files


def _stored_tensors(model: ModelFacts) -> dict[str, TensorHeader]:
    """The tensors that a prepared parent stores: no derived buffer, and no head that is tied."""
    tied = model.head if model.is_tied and model.embeddings else None
    return {
        name: tensor
        for name, tensor in model.tensors.items()
        if name != tied and model.kind.use(name) != "derived"
    }


def _tensors(name: str, sources: Sources) -> Weights:
    preparation, alignment = sources.preparation, sources.preparation.alignment
    if alignment is None or not preparation.is_aligned(name):
        return sources.weights(name)
    weights = {one: sources.weights(one) for one in preparation.sources}
    origins = {one: alignment.origins(model) for one, model in preparation.sources.items()}
    rows = row_tensors(preparation.sources[name])
    merged = {stored: merged for merged, stored in preparation.sources[name].names.items()}

    def tensor(target: str) -> Any:
        if target not in rows:
            return weights[name](target)
        called = merged.get(target, target)  # stored elsewhere in a vision-language model
        readers = {
            one: RowSource(origins[one], partial(weights[one], model.names.get(called, target)))
            for one, model in preparation.sources.items()
        }
        return aligned_rows(name, readers, preparation.base)

    return tensor


def _small_files(name: str, sources: Sources, *, code: bool) -> dict[str, bytes]:
    """Configuration, tokenizer, chat template and the like of a prepared parent, by name."""
    own, preparation = sources.files[name], sources.preparation
    kept = {
        entry
        for entry in own.sizes
        if entry in {*TOKENIZER, *OTHERS} or (code and entry.endswith(".py"))
    }
    config = read_settings(own, "config.json")
    alignment = preparation.alignment
    if alignment is None or not preparation.is_aligned(name):
        rows = preparation.models[name].rows
        made = {"config.json": pretty_json(with_rows(config, rows) if rows else config)}
        return {entry: own.read(entry) for entry in sorted(kept)} | made
    owner = sources.files[alignment.owner]
    content = {entry: own.read(entry) for entry in sorted(kept - {*FILES, ROLES})}
    content |= tokenizer_files(owner, own, alignment)
    tokens = preparation.sources[name].vocabulary or {}
    for entry in ("config.json", "generation_config.json"):
        settings, others = read_settings(own, entry), read_settings(owner, entry)
        moved = with_vocabulary(settings, tokens, alignment.vocabulary, others)
        if entry == "config.json":
            content[entry] = pretty_json(with_rows(moved, alignment.rows))
        elif entry in content:
            content[entry] = pretty_json(moved)
    return content
