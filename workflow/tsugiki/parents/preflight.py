"""Check all parents of a run from headers alone, before anything large is fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tsugiki.config.parents import DemoParent, HubParent, LocalParent
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.errors import ParentError
from tsugiki.parents import hub
from tsugiki.parents.checks.architecture import (
    check_architecture,
    check_settings,
    note_choices,
)
from tsugiki.parents.checks.embeddings import check_embeddings, note_padding
from tsugiki.parents.checks.numbers import check_numbers, note_formats
from tsugiki.parents.checks.shapes import check_shapes
from tsugiki.parents.checks.templates import check_owner, note_templates
from tsugiki.parents.checks.tokenizers import check_tokenizers, note_tokenizers
from tsugiki.parents.checks.tying import check_tying, note_tying
from tsugiki.parents.checks.vision import check_eyes, note_eyes
from tsugiki.parents.fault import Fault
from tsugiki.parents.fetch import not_in_cache
from tsugiki.parents.hub import HubUnreachableError
from tsugiki.parents.lock import ParentsLock
from tsugiki.parents.model import Model, read_model
from tsugiki.parents.report import Report
from tsugiki.parents.sizes import (
    disk_bytes,
    download_bytes,
    members,
    memory_bytes,
    merged_tensors,
)
from tsugiki.parents.sources import FolderFiles, HubFiles, ParentFiles


def preflight(config: RunConfig, lock: ParentsLock | None = None) -> Report:
    """Check every parent alone, and those of a stage with each other; report all faults at once.

    Reads configurations, tokenizers and the headers of safetensors files. Of parents on the Hub
    nothing larger is fetched. Models of the demo are made by the run, and not checked.

    Args:
        config: The run.
        lock: The parents' lock, if there is one: its commits are checked, not the branches.
    """
    faults: list[Fault] = []
    notes: list[str] = []
    models: dict[str, Model] = {}
    sources: list[ParentFiles] = []
    for name, source in config.parents.items():
        if isinstance(source, DemoParent):
            continue
        try:
            files = _open(name, source, lock)
            model, found = read_model(
                name, files, trusted=source.trust_remote_code, names=source.names
            )
        except ParentError as error:
            faults.append(Fault.of(error, f"parent `{name}`"))
            continue
        sources.append(files)
        models[name] = model
        faults += [*found, *_faults_of(model)]
        notes += _notes_of(model)
    for stage in config.stages:
        merged = [models[name] for name in members(stage) if name in models]
        faults += _faults_between(merged)
        notes += _notes_between(merged, stage)
        owner = models.get(_owner(stage))
        if owner is not None:
            template = config.evaluation.apply_chat_template
            faults += check_owner(owner, stage.name, apply_chat_template=template)
            notes += note_templates(merged, owner)
            declared = stage.space.tokenizer is not None
            faults += check_eyes(merged, owner, stage.name, declared=declared)
            notes += note_eyes(merged, owner)
    downloads = download_bytes(sources)
    return Report(
        faults=list(dict.fromkeys(faults)),
        notes=list(dict.fromkeys(notes)),
        download_bytes=downloads,
        disk_bytes=downloads + disk_bytes(config, models),
        memory_bytes=memory_bytes(config, models),
        tensors=merged_tensors(config, models),
    )


def _open(name: str, source: LocalParent | HubParent, lock: ParentsLock | None) -> ParentFiles:
    if isinstance(source, LocalParent):
        folder = Path(source.path).expanduser()
        if not folder.is_dir():
            raise ParentError(
                f"the folder of parent `{name}` does not exist",
                where=source.path,
                fix="correct `path` in the configuration; it is relative to the working folder",
            )
        return FolderFiles(folder)
    locked = lock.parents.get(name) if lock is not None else None
    revision = locked.commit if locked is not None and locked.commit else source.revision
    try:
        return HubFiles(hub.list_repo(source.hub, revision))
    except HubUnreachableError as error:
        cached = hub.cached_snapshot(source.hub, revision, code=source.trust_remote_code)
        if cached is None:
            raise not_in_cache(source, revision, str(error)) from error
        return FolderFiles(cached)


def _faults_of(model: Model) -> Iterator[Fault]:
    yield from check_settings(model)
    yield from check_numbers(model)
    yield from check_embeddings(model)
    yield from check_tying(model)


def _notes_of(model: Model) -> Iterator[str]:
    yield from note_padding(model)
    yield from note_tying(model)


def _faults_between(models: Sequence[Model]) -> Iterator[Fault]:
    for other in models[1:]:
        yield from check_architecture(models[0], other)
        yield from check_shapes(models[0], other)
        yield from check_tokenizers(models[0], other)


def _notes_between(models: Sequence[Model], stage: Stage) -> Iterator[str]:
    for other in models[1:]:
        yield from note_choices(models[0], other, _owner(stage))
        yield from note_tokenizers(models[0], other)
    yield from note_formats(models, stage.space.dtype)


def _owner(stage: Stage) -> str:
    """The model whose configuration, tokenizer and chat template the merged model gets."""
    return stage.space.tokenizer or stage.base or stage.parents[0]
