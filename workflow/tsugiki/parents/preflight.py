"""Check all parents of a run from headers alone, before anything large is fetched, and say what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tsugiki.config.parents import DemoParent, HubParent, LocalParent
from tsugiki.config.run import RunConfig
from tsugiki.contracts.locks import ParentsLock
from tsugiki.errors import ParentError
from tsugiki.models.checks import (
    architecture,
    complete,
    components,
    embeddings,
    numbers,
    tokenizers,
)
from tsugiki.models.facts import ModelFacts, read_model
from tsugiki.models.fault import Fault
from tsugiki.models.kinds.kind import Names
from tsugiki.models.sources import FolderFiles, ParentFiles
from tsugiki.parents import hub
from tsugiki.parents.between import check_stage, note_stage
from tsugiki.parents.fetch import not_in_cache
from tsugiki.parents.hub import HubFiles, HubUnreachableError
from tsugiki.parents.licences import cards, lines
from tsugiki.parents.locate import changed_parents, existing_folder
from tsugiki.parents.prepare.adapter import Adapter
from tsugiki.parents.prepare.plan import note_bases, plan_preparation, read_parent
from tsugiki.parents.relatives import note_copies, note_relatives, read_sample
from tsugiki.parents.sizes import (
    Memory,
    MergedTensors,
    disk_bytes,
    download_bytes,
    memory,
    merged_tensors,
    shown,
)


@dataclass(frozen=True)
class Report:
    """What the checks found, and what the run will need."""

    faults: list[Fault]
    """Reasons not to start."""
    notes: list[str]
    """What to know; nothing to mend."""
    download_bytes: int
    """Bytes that fetching the parents will bring over the network."""
    disk_bytes: int
    """Bytes that downloads, prepared parents, decompositions and merged models will take on disk."""
    memory: Memory
    """What each evaluating job holds in memory."""
    tensors: Mapping[str, MergedTensors]
    """The tensors that are merged, by stage; without stages of unknown parents."""
    prepared: Mapping[str, int] = field(default_factory=dict)
    """What is done to parents before they are merged, in words, and the bytes that it writes."""
    trained: list[str] = field(default_factory=list)
    """Parents that the demo trains: there is nothing to check or to measure yet."""
    licences: list[str] = field(default_factory=list)
    """The licence of each parent, and what follows for the merge, in words."""
    unread: list[str] = field(default_factory=list)
    """Parents that could not be looked into: what they need is in none of the numbers."""


def render(report: Report) -> str:
    """The report as text: faults first, then notes, then what the run will need."""
    blocks = [f"fault: {fault}" for fault in report.faults]
    blocks += [f"note: {note}" for note in report.notes]
    blocks += report.licences
    blocks += [f"to prepare: {text} ({shown(size)})" for text, size in report.prepared.items()]
    if report.trained:
        names = ", ".join(report.trained)
        blocks.append(
            f"to train, some minutes: {names} (the demo's; not checked, nor counted here)"
        )
    known = bool(report.disk_bytes or report.memory.weights)
    counted = known or not (report.trained or report.unread)
    if counted:
        download, disk = shown(report.download_bytes), shown(report.disk_bytes)
        blocks.append(f"to download: {download}; on disk: {disk}")
        if report.memory.weights:
            blocks.append(f"memory of each evaluating job, at most about: {report.memory}")
    if report.unread:
        what = "not counted here" if counted else "download, disk and memory are not known yet"
        blocks.append(f"could not be read: {', '.join(report.unread)}; {what}")
    if count := len(report.faults):
        blocks.append(f"{count} fault{'s' * (count != 1)} in the parents")
    elif counted:
        blocks.append("the parents are sound")
    return "\n".join(blocks)


def preflight(
    config: RunConfig, lock: ParentsLock | None = None, folders: Mapping[str, Path] | None = None
) -> Report:
    """Check every parent alone, and those of a stage with each other; report all faults at once.

    Reads configurations, tokenizers, the headers of safetensors files, and some rows of those that
    lie on this machine. Of parents on the Hub nothing larger is fetched. Models of the demo are made
    by the run, and not checked. Models that will be prepared are compared as they will be.

    Args:
        config: The run.
        lock: The parents' lock, if there is one: its commits are checked, not the branches.
        folders: Where parents are that have been fetched, by name; the Hub is not asked for them.
    """
    faults: list[Fault] = []
    notes: list[str] = []
    parents: dict[str, ModelFacts | Adapter | None] = {}
    sources: dict[str, ParentFiles] = {}
    for name, source in config.parents.items():
        if isinstance(source, DemoParent):
            continue
        try:
            here = (folders or {}).get(name)
            files = open_parent(name, source, lock) if here is None else FolderFiles(here)
            parents[name], found = read_parent(config, name, files)
        except ParentError as error:
            faults.append(Fault.of(error, f"parent `{name}`"))
            continue
        sources[name] = files
        faults += found
    models = {name: one for name, one in parents.items() if isinstance(one, ModelFacts)}
    for model in models.values():
        faults += _faults_of(model)
        notes += _notes_of(model)
    if lock is not None:
        faults += [Fault.of(error, error.what) for error in changed_parents(config, lock)]
    preparation = plan_preparation(config, parents)
    faults += preparation.faults
    notes += note_bases(config, preparation.adapters)
    merged = preparation.models
    for stage in config.stages:
        faults += check_stage(config, stage, merged)
        notes += note_stage(config, stage, merged)
    samples = {name: read_sample(model, sources[name]) for name, model in models.items()}
    for stage in config.stages:
        notes += note_relatives(config.origins(stage), stage.base, samples)
    notes += note_copies({name: sources[name] for name in models}, samples)
    unread = [
        name
        for name, one in config.parents.items()
        if name not in sources and not isinstance(one, DemoParent)
    ]
    if not unread:
        notes += architecture.note_accepted(config.accept_differences, list(models.values()))
    downloads = download_bytes(sources.values())
    prepared = {name: merged[name].stored for name in preparation.names}
    return Report(
        faults=list(dict.fromkeys(faults)),
        notes=list(dict.fromkeys(notes)),
        download_bytes=downloads,
        disk_bytes=downloads + sum(prepared.values()) + disk_bytes(config, merged),
        memory=memory(config, merged),
        prepared={preparation.describe(name): size for name, size in prepared.items()},
        tensors=merged_tensors(config, merged),
        trained=[name for name, one in config.parents.items() if isinstance(one, DemoParent)],
        licences=lines(config, cards(config, lock, sources), unread),
        unread=unread,
    )


def check_folders(
    folders: Mapping[str, Path], names: Mapping[str, Names]
) -> tuple[dict[str, ModelFacts], list[Fault], list[str]]:
    """Check each of some models alone, outside of a run; no code of theirs is needed or run.

    Returns:
        The models, their faults, and what to know of them.
    """
    models: dict[str, ModelFacts] = {}
    faults: list[Fault] = []
    notes: list[str] = []
    for name, folder in folders.items():
        if not folder.is_dir():
            faults.append(Fault(f"the folder of model `{name}` does not exist", str(folder)))
            continue
        model, found = read_model(name, FolderFiles(folder), trusted=True, names=names.get(name))
        models[name] = replace(model, trusted="auto_map" in model.config)
        faults += [*found, *_faults_of(models[name])]
        notes += _notes_of(models[name])
    return models, faults, notes


def open_parent(
    name: str, source: LocalParent | HubParent, lock: ParentsLock | None
) -> ParentFiles:
    """A parent's files as they came: in its folder, on the Hub at the locked commit, or in the cache.

    Raises:
        ParentError: it is in none of them.
    """
    if isinstance(source, LocalParent):
        return FolderFiles(existing_folder(name, source))
    locked = lock.parents.get(name) if lock is not None else None
    revision = locked.commit if locked is not None and locked.commit else source.revision
    try:
        return HubFiles(hub.list_repo(source.hub, revision))
    except HubUnreachableError as error:
        cached = hub.cached_snapshot(source.hub, revision, code=source.trust_remote_code)
        if cached is None:
            raise not_in_cache(source, revision, str(error)) from error
        return FolderFiles(cached)


def _faults_of(model: ModelFacts) -> Iterator[Fault]:
    yield from architecture.check_settings(model)
    yield from numbers.check_numbers(model)
    yield from embeddings.check_embeddings(model)
    yield from embeddings.check_tying(model)
    yield from tokenizers.check_ids(model)
    yield from complete.check_complete(model)
    yield from components.check_components(model)


def _notes_of(model: ModelFacts) -> Iterator[str]:
    yield from embeddings.note_padding(model)
    yield from embeddings.note_tying(model)
    yield from complete.note_drafts(model)
