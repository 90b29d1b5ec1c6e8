"""Write prepared parents: ordinary checkpoints in a cache, named by what they were made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tsugiki import atomic
from tsugiki.canonical import digest, pretty_json
from tsugiki.merge.engine import one_thread_per_operation
from tsugiki.merge.plan import DERIVED
from tsugiki.merge.stream import Stored, faults_of_the_disk, require_space, write_tensors
from tsugiki.parents.checks.tying import is_tied
from tsugiki.parents.files import describe
from tsugiki.parents.lock import LockedFile, PreparedParent, digest_of_files
from tsugiki.parents.model import Model
from tsugiki.parents.prepare.adapter import Adapter
from tsugiki.parents.prepare.files import small_files
from tsugiki.parents.prepare.plan import Preparation, row_tensors
from tsugiki.parents.prepare.rows import RowSource, aligned_rows
from tsugiki.parents.prepare.weights import AdaptedWeights, StoredWeights, Weights
from tsugiki.parents.sources import ParentFiles

VERSION = 1
"""To be raised when the same sources are to give other bytes."""
MANIFEST = "prepared.json"
"""What a prepared parent was made from, and the digests of its files; no part of its digest."""


@dataclass
class Sources:
    """Where prepared parents are made from."""

    preparation: Preparation
    adapters: Mapping[str, Adapter]
    folders: Mapping[str, Path]
    files: dict[str, ParentFiles]
    """By name; those of adapters completed by their bases'."""
    digests: Mapping[str, str]
    """Of the files as they were locked, by name."""
    vocabulary: Mapping[str, Any] | None
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
        names |= {self.adapters[one].base for one in names if one in self.adapters}
        return {one: self.digests[one] for one in sorted(names)}

    def weights(self, name: str) -> Weights:
        """A parent's tensors in its own vocabulary."""
        if name not in self.adapters:
            return StoredWeights(name, self.folders[name])
        base = self.adapters[name].base
        return AdaptedWeights(
            name,
            self.folders[name],
            StoredWeights(base, self.folders[base]),
            self.preparation.changes[name],
            self.preparation.sources[base].embeddings,
        )

    def _identity(self, name: str) -> list[str]:
        names = [name, *([self.adapters[name].base] if name in self.adapters else [])]
        return [self.digests[one] for one in names]


def ensure_prepared(
    name: str, sources: Sources, cache: Path, *, code: bool, say: Callable[[str], None]
) -> PreparedParent:
    """Write a prepared parent, unless the cache holds it undamaged.

    Memory holds a few tensors at a time.

    Args:
        name: The parent.
        sources: What it is made from.
        cache: Folder of all prepared parents.
        code: Whether it comes with modelling code.
        say: Where progress goes, line by line.

    Raises:
        ParentError: a source cannot be read, or tokens cannot be added to the tokenizer.
        InfrastructureError: the disk is full or fails.
    """
    inputs = sources.inputs(name)
    key = digest(inputs)
    folder = cache / f"{name}-{key[:12]}"
    if (files := _intact(folder, inputs)) is None:
        say(f"{sources.preparation.describe(name)}; writing {folder.name}")
        with faults_of_the_disk(folder), one_thread_per_operation():
            files = _write(folder, name, sources, inputs, code=code)
    aligned = sources.preparation.is_aligned(name)
    return PreparedParent(
        folder=folder.name,
        key=key,
        vocabulary=dict(sources.vocabulary or {}) if aligned else None,
        made_from=sources.made_from(name),
        files=files,
        digest=digest_of_files(files),
    )


def _intact(folder: Path, inputs: Mapping[str, Any]) -> tuple[LockedFile, ...] | None:
    """The files of a prepared parent that is there already, all digests checked."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        files = tuple(describe(folder / name) for name in sorted(manifest["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = manifest["files"] == {file.name: file.sha256 for file in files}
    return files if whole and manifest["inputs"] == inputs else None


def _write(
    folder: Path, name: str, sources: Sources, inputs: Mapping[str, Any], *, code: bool
) -> tuple[LockedFile, ...]:
    model = sources.preparation.models[name]
    stored = stored_tensors(model)
    tensor = _tensors(name, sources)
    require_space(folder.parent, sum(entry.size for entry in stored.values()))
    with atomic.folder(folder, replace=True) as temporary:
        contents = small_files(name, sources.preparation, sources.files, code=code)
        for file, content in contents.items():
            (temporary / file).write_bytes(content)
        write_tensors(temporary, stored, tensor)
        files = tuple(describe(path) for path in sorted(temporary.iterdir()))
        manifest = {"inputs": inputs, "files": {file.name: file.sha256 for file in files}}
        (temporary / MANIFEST).write_bytes(pretty_json(manifest))
    return files


def stored_tensors(model: Model) -> dict[str, Stored]:
    """The tensors that a prepared parent stores: no derived buffer, and no head that is tied."""
    tied = model.head if is_tied(model) and model.embeddings else None
    return {
        name: Stored(tensor.dtype, tensor.shape)
        for name, tensor in model.tensors.items()
        if name != tied and not DERIVED.search(name)
    }


def _tensors(name: str, sources: Sources) -> Callable[[str], Any]:
    preparation = sources.preparation
    if not preparation.is_aligned(name):
        return sources.weights(name).tensor
    assert preparation.alignment is not None, "only then is it aligned"
    alignment = preparation.alignment
    weights = {one: sources.weights(one) for one in preparation.sources}
    origins = {one: alignment.origins(model) for one, model in preparation.sources.items()}
    rows = row_tensors(preparation.sources[name])

    def tensor(tensor_name: str) -> Any:
        if tensor_name not in rows:
            return weights[name].tensor(tensor_name)
        readers = {
            one: RowSource(origins[one], partial(weights[one].tensor, tensor_name))
            for one in weights
        }
        return aligned_rows(name, readers, preparation.base)

    return tensor
