"""Write prepared parents: ordinary checkpoints in a cache, named by what they were made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tsugiki import atomic
from tsugiki.canonical import digest, pretty_json
from tsugiki.contracts.locks import LockedFile, PreparedParent, digest_of_files
from tsugiki.merge.engine import one_thread_per_operation
from tsugiki.merge.stream import StoredTensor, faults_of_the_disk, require_space, write_tensors
from tsugiki.models.facts import ModelFacts
from tsugiki.models.files import describe
from tsugiki.models.sources import ParentFiles
from tsugiki.parents.prepare.adapter import Adapter
from tsugiki.parents.prepare.files import small_files
from tsugiki.parents.prepare.plan import Preparation, row_tensors
from tsugiki.parents.prepare.weights import AdaptedWeights, CheckpointWeights, Weights

Origins = Sequence[int | None]
"""For each aligned row, the row of a model's own tensor, or None."""


@dataclass(frozen=True)
class RowSource:
    """One tensor of one model, which has a row for each token."""

    origins: Origins
    read: Callable[[], Tensor]
    """Reads the tensor, of shape (own rows, ...)."""


def aligned_rows(name: str, sources: Mapping[str, RowSource], base: str | None) -> Tensor:
    """A model's tensor with its rows in the aligned order.

    A row that the model lacks is the base's, so that its task vector there is zero. One that the
    base lacks too is the mean of the rows of the models that have it; the base gets the same. One
    that no model has (padding) is the mean of all rows that the base has.

    Means are computed in float64 and cast once.

    Args:
        name: The model.
        sources: That tensor in all models, by name.
        base: Name of the base, if there is one.

    Returns:
        Shape (aligned rows, ...), in the model's own number format.
    """
    own = sources[name]
    values = own.read()
    result = torch.empty(len(own.origins), *values.shape[1:], dtype=values.dtype)
    missing = torch.arange(len(own.origins))
    missing = _take(result, missing, own.origins, values)
    if base is not None and base != name and len(missing):
        missing = _take(result, missing, sources[base].origins, sources[base].read())
    if len(missing):
        others = [source for other, source in sources.items() if other != base]
        missing = _take_means(result, missing, others)
    if len(missing):
        reference = sources[base] if base is not None else own
        known = [row for row in reference.origins if row is not None]
        mean = reference.read()[known].double().mean(dim=0)
        result[missing] = mean.to(result.dtype)
    return result


def _take(result: Tensor, missing: Tensor, origins: Origins, values: Tensor) -> Tensor:
    """Fill in the missing rows that a model has; return those that are still missing."""
    rows = torch.tensor([-1 if row is None else row for row in origins])[missing]
    has = rows >= 0
    result[missing[has]] = values[rows[has]].to(result.dtype)
    return missing[~has]


def _take_means(result: Tensor, missing: Tensor, sources: Sequence[RowSource]) -> Tensor:
    total = torch.zeros(len(missing), *result.shape[1:], dtype=torch.float64)
    count = torch.zeros(len(missing), dtype=torch.int64)
    for source in sources:
        rows = torch.tensor([-1 if row is None else row for row in source.origins])[missing]
        has = rows >= 0
        if bool(has.any()):
            total[has] += source.read()[rows[has]].double()
            count += has
    known = count > 0
    shape = (-1, *[1] * (result.dim() - 1))
    result[missing[known]] = (total[known] / count[known].view(shape)).to(result.dtype)
    return missing[~known]


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
            return CheckpointWeights(name, self.folders[name])
        base = self.adapters[name].base
        return AdaptedWeights(
            name,
            self.folders[name],
            CheckpointWeights(base, self.folders[base]),
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
        write_tensors(temporary, stored, tensor, layout=model.kind.layout)
        files = tuple(describe(path) for path in sorted(temporary.iterdir()))
        manifest = {"inputs": inputs, "files": {file.name: file.sha256 for file in files}}
        (temporary / MANIFEST).write_bytes(pretty_json(manifest))
    return files


def stored_tensors(model: ModelFacts) -> dict[str, StoredTensor]:
    """The tensors that a prepared parent stores: no derived buffer, and no head that is tied."""
    tied = model.head if model.is_tied and model.embeddings else None
    return {
        name: StoredTensor(tensor.dtype, tensor.shape)
        for name, tensor in model.tensors.items()
        if name != tied and model.kind.use(name) != "derived"
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
