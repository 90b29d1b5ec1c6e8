"""Prepare the parents of a run that cannot be merged as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tsugiki.config.parents import DemoParent, adapter_base
from tsugiki.config.run import RunConfig
from tsugiki.contracts.locks import LockedParent, ParentsLock, PreparedParent
from tsugiki.errors import LineageError
from tsugiki.models.facts import ModelFacts, read_model
from tsugiki.models.fault import Fault, refuse
from tsugiki.models.sources import FolderFiles, ParentFiles
from tsugiki.parents.between import check_stage
from tsugiki.parents.locate import prepared_cache, source_folders
from tsugiki.parents.prepare.adapter import Adapter, read_adapter
from tsugiki.parents.prepare.files import AdapterFiles
from tsugiki.parents.prepare.plan import plan_preparation


def prepare_parents(
    config: RunConfig,
    lock: ParentsLock,
    before: Mapping[str, LockedParent],
    say: Callable[[str], None],
) -> ParentsLock:
    """Merge adapters into their bases, and align vocabularies, as the configuration asks.

    Args:
        config: The run.
        lock: The locked parents, as they come.
        before: What was locked before, by name.
        say: Where progress goes, line by line.

    Returns:
        The lock, with what was prepared.

    Raises:
        ParentError: parents cannot be prepared; every fault is named.
        LineageError: the same sources have given other bytes than before.
        InfrastructureError: the disk is full or fails.
    """
    adapted = any(adapter_base(source) for source in config.parents.values())
    if not adapted and config.vocabulary.kind == "same":
        return lock
    from tsugiki.parents.prepare.write import Sources, ensure_prepared

    folders = source_folders(config, lock)
    files: dict[str, ParentFiles] = {name: FolderFiles(path) for name, path in folders.items()}
    models, adapters, faults = _read(config, files)
    preparation = plan_preparation(config, models, adapters)
    faults += preparation.faults
    for stage in config.stages:
        faults += check_stage(config, stage, preparation.models)
    refuse(faults)
    for name, adapter in adapters.items():
        files[name] = AdapterFiles(FolderFiles(folders[name]), FolderFiles(folders[adapter.base]))
    aligned = config.vocabulary.kind != "same"
    sources = Sources(
        preparation,
        adapters,
        folders,
        files,
        {name: parent.digest for name, parent in lock.parents.items()},
        config.vocabulary.model_dump(mode="json") if aligned else None,
    )
    cache = prepared_cache(config)
    locked = dict(lock.parents)
    for name in preparation.names:
        made = ensure_prepared(name, sources, cache, code=_trusted(config, name), say=say)
        _refuse_change(name, before.get(name), made, cache)
        locked[name] = locked[name].model_copy(update={"prepared": made})
    return ParentsLock(parents=locked)


def _read(
    config: RunConfig, files: Mapping[str, ParentFiles]
) -> tuple[dict[str, ModelFacts], dict[str, Adapter], list[Fault]]:
    models: dict[str, ModelFacts] = {}
    adapters: dict[str, Adapter] = {}
    faults: list[Fault] = []
    for name, source in config.parents.items():
        if (base := adapter_base(source)) is not None:
            adapter, found = read_adapter(name, base, files[name])
            if adapter is not None:
                adapters[name] = adapter
        else:
            models[name], found = read_model(name, files[name], trusted=_trusted(config, name))
        faults += found
    return models, adapters, faults


def _trusted(config: RunConfig, name: str) -> bool:
    """Whether a parent's code may run; an adapter's is that of its base."""
    source = config.parents[adapter_base(config.parents[name]) or name]
    return not isinstance(source, DemoParent) and source.trust_remote_code


def _refuse_change(
    name: str, before: LockedParent | None, made: PreparedParent, cache: Path
) -> None:
    old = before.prepared if before is not None else None
    if old is None or old.key != made.key or old.digest == made.digest:
        return
    raise LineageError(
        f"parent `{name}` was prepared from the same sources as before, but the bytes differ",
        where=str(cache / made.folder),
        expected=old.digest,
        got=made.digest,
        fix=f"copy the folder from the machine that made it, or start anew with "
        f"`tsugiki parents --update {name}`",
    )
