"""Pin every parent of a run, to a commit on the Hub or to the bytes in a folder, and prepare it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tsugiki.atomic import write_if_changed
from tsugiki.config.parents import DemoParent, HubParent, LocalParent, adapter_base
from tsugiki.config.run import RunConfig
from tsugiki.contracts.locks import (
    LockedCard,
    LockedFile,
    LockedParent,
    ParentsLock,
    digest_of_files,
    read_lock,
)
from tsugiki.errors import ConfigError, LineageError, ParentError
from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, refuse
from tsugiki.models.files import digest_folder, model_files, remember
from tsugiki.models.sources import FolderFiles, ParentFiles
from tsugiki.parents import fetch, hub, locate
from tsugiki.parents.between import check_stage
from tsugiki.parents.hub import HubFiles, HubUnreachableError
from tsugiki.parents.licences import read_card
from tsugiki.parents.prepare.adapter import Adapter
from tsugiki.parents.prepare.plan import plan_preparation, read_parent


def lock_parents(
    config: RunConfig, lock: Path, *, update: frozenset[str] = frozenset(), log: fetch.Log = print
) -> ParentsLock:
    """Resolve, fetch, verify, prepare and lock all parents of a run.

    What is locked stays locked: a branch that has moved is announced, not followed. A parent
    whose section in the configuration has changed is locked anew. Works offline where the cache
    is filled. The lock file is read if it exists, and written when all parents are there; those that `update`
    names are locked anew. `log` takes lines of progress.

    Raises:
        ConfigError: `update` names a parent that the run does not have.
        ParentError: a parent cannot be had, or cannot be prepared.
        LineageError: a folder does not hold the files that were locked.
        InfrastructureError: the Hub's cache, or a prepared parent, cannot be written.
    """
    if unknown := sorted(update - set(config.parents)):
        raise ConfigError(
            "only parents of the run can be updated",
            expected=", ".join(config.parents),
            got=", ".join(unknown),
        )
    previous = read_lock(lock).parents if lock.is_file() else {}
    locked: dict[str, LockedParent] = {}
    for name, source in config.parents.items():
        before = None if name in update else previous.get(name)
        if before is not None:  # what is made of it is looked at again
            before = before.model_copy(update={"prepared": None})
        if before is not None and before.source != source.model_dump(mode="json"):
            log(f"{name}: its source has changed in the configuration; locking it anew")
            before = None
        locked[name] = _lock_parent(config, name, before, log)
    kept = {name: parent for name, parent in previous.items() if name not in update}
    result = _prepare_parents(config, ParentsLock(parents=locked), kept, log)
    write_if_changed(lock, result.to_json())
    remember(locate.digest_memory(config))
    return result


def _prepare_parents(
    config: RunConfig, lock: ParentsLock, before: Mapping[str, LockedParent], log: fetch.Log
) -> ParentsLock:
    """Merge adapters into their bases and align vocabularies, and add that to the lock.

    What was locked `before` tells whether the same sources have given the same bytes.
    """
    aligned = config.vocabulary.kind != "same"
    if not aligned and not any(map(adapter_base, config.parents.values())):
        return lock
    from tsugiki.parents.prepare.write import AdapterFiles, Sources, ensure_prepared

    folders = locate.source_folders(config, lock)
    files: dict[str, ParentFiles] = {name: FolderFiles(path) for name, path in folders.items()}
    parents: dict[str, ModelFacts | Adapter | None] = {}
    faults: list[Fault] = []
    for name in config.parents:
        parents[name], found = read_parent(config, name, files[name])
        faults += found
    preparation = plan_preparation(config, parents)
    faults += preparation.faults
    for stage in config.stages:
        faults += check_stage(config, stage, preparation.models)
    refuse(faults)
    for name, adapter in preparation.adapters.items():
        files[name] = AdapterFiles(files[name], files[adapter.base])
    sources = Sources(
        preparation,
        folders,
        files,
        {name: parent.digest for name, parent in lock.parents.items()},
        config.vocabulary.model_dump(mode="json") if aligned else None,
    )
    cache = locate.prepared_cache(config)
    locked = dict(lock.parents)
    for name in preparation.names:
        own = config.parents[adapter_base(config.parents[name]) or name]
        code = not isinstance(own, DemoParent) and own.trust_remote_code
        made = ensure_prepared(name, sources, cache, code=code, log=log)
        old = before[name].prepared if name in before else None
        if old is not None and old.key == made.key and old.digest != made.digest:
            raise LineageError(
                f"parent `{name}` was prepared from the same sources as before, but the bytes differ",
                where=str(cache / made.folder),
                expected=old.digest,
                got=made.digest,
                fix=f"copy the folder from the machine that made it, or start anew with "
                f"`tsugiki parents --update {name}`",
            )
        locked[name] = locked[name].model_copy(update={"prepared": made})
    return ParentsLock(parents=locked)


def _lock_parent(
    config: RunConfig, name: str, before: LockedParent | None, log: fetch.Log
) -> LockedParent:
    source = config.parents[name]
    if isinstance(source, HubParent):
        return _lock_hub(name, source, before, log)
    made: str | None = None
    if isinstance(source, LocalParent):
        folder, where = locate.existing_folder(name, source), source.path
        fetch.refuse_without_weights(name, where, model_files(folder))
        files = digest_folder(folder, code=source.trust_remote_code)
    else:
        from tsugiki.demo.parents import ensure_demo_parent

        where = f"the demo's model {source.demo}, seed {source.seed}"
        folder = ensure_demo_parent(source.demo, source.seed, locate.demo_cache(config), log=log)
        files, made = digest_folder(folder), folder.name
    if before is not None and before.files != files:
        old, new = ({one.name: one.sha256 for one in those} for those in (before.files, files))
        raise locate.not_as_locked(f"parent `{name}`", where, old, new, fix=locate.lock_anew(name))
    card = read_card(FolderFiles(folder)) if before is None and made is None else None
    return _locked(source, files, folder=made, card=before.card if before is not None else card)


def _lock_hub(
    name: str, source: HubParent, before: LockedParent | None, log: fetch.Log
) -> LockedParent:
    if before is not None and before.commit is not None:
        _announce_move(name, source, before.commit, log)
        fetch.fetch_locked(source, before.commit, before.files, log)
        return before
    try:
        listing = hub.list_repo(source.hub, source.revision)
    except HubUnreachableError as error:
        commit, files = fetch.take_cached(source, str(error), log)
        first = hub.cached_file(source.hub, commit, files[0].name)
        card = (
            None
            if first is None
            else read_card(FolderFiles(first.parents[files[0].name.count("/")]))
        )
    else:
        commit, files = listing.commit, fetch.fetch_listed(source, listing, log)
        card = read_card(HubFiles(listing))
    return _locked(source, files, commit=commit, card=card)


def _announce_move(name: str, source: HubParent, locked: str, log: fetch.Log) -> None:
    if hub.COMMIT.match(source.revision):
        return
    try:
        now = hub.list_repo(source.hub, source.revision).commit
    except (HubUnreachableError, ParentError):
        return  # the lock and the cache suffice, even if the repository is gone
    if now != locked:
        log(
            f"{name}: {source.hub} has moved: `{source.revision}` is now {now[:12]}; "
            f"keeping the locked {locked[:12]}. To follow: tsugiki parents --update {name}"
        )


def _locked(
    source: LocalParent | HubParent | DemoParent,
    files: tuple[LockedFile, ...],
    *,
    commit: str | None = None,
    folder: str | None = None,
    card: LockedCard | None = None,
) -> LockedParent:
    return LockedParent(
        source=source.model_dump(mode="json"),
        commit=commit,
        folder=folder,
        files=files,
        digest=digest_of_files(files),
        card=card,
    )
