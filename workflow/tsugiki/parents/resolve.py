"""Pin every parent of a run: to a commit on the Hub, or to the bytes in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tsugiki.config.parents import DemoParent, HubParent, LocalParent
from tsugiki.config.run import RunConfig
from tsugiki.contracts.locks import (
    LockedFile,
    LockedParent,
    ParentsLock,
    digest_of_files,
    read_lock,
    write_lock,
)
from tsugiki.errors import ConfigError, ParentError
from tsugiki.models.files import digest_folder, remember
from tsugiki.parents import hub
from tsugiki.parents.fetch import (
    Say,
    fetch_listed,
    fetch_locked,
    refuse_without_weights,
    take_cached,
)
from tsugiki.parents.hub import HubUnreachableError
from tsugiki.parents.locate import demo_cache, digest_memory, not_as_locked
from tsugiki.parents.prepare.run import prepare_parents


def lock_parents(
    config: RunConfig,
    lock: Path,
    *,
    update: frozenset[str] = frozenset(),
    say: Callable[[str], None] = print,
) -> ParentsLock:
    """Resolve, fetch, verify, prepare and lock all parents of a run.

    What is locked stays locked: a branch that has moved is announced, not followed. A parent
    whose section in the configuration has changed is locked anew. Works offline where the cache
    is filled.

    Args:
        config: The run.
        lock: Lock file, read if it exists, written when all parents are there.
        update: Names of parents that are to be locked anew.
        say: Where progress goes, line by line.

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
            say(f"{name}: its source has changed in the configuration; locking it anew")
            before = None
        locked[name] = _lock_parent(config, name, before, say)
    kept = {name: parent for name, parent in previous.items() if name not in update}
    result = prepare_parents(config, ParentsLock(parents=locked), kept, say)
    write_lock(lock, result)
    remember(digest_memory(config))
    return result


def _lock_parent(
    config: RunConfig, name: str, before: LockedParent | None, say: Say
) -> LockedParent:
    source = config.parents[name]
    if isinstance(source, HubParent):
        return _lock_hub(name, source, before, say)
    if isinstance(source, DemoParent):
        return _lock_demo(config, name, source, before, say)
    return _lock_local(name, source, before)


def _lock_hub(name: str, source: HubParent, before: LockedParent | None, say: Say) -> LockedParent:
    if before is not None and before.commit is not None:
        _announce_move(name, source, before.commit, say)
        fetch_locked(source, before.commit, before.files, say)
        return before
    try:
        listing = hub.list_repo(source.hub, source.revision)
    except HubUnreachableError as error:
        commit, files = take_cached(source, str(error), say)
    else:
        commit, files = listing.commit, fetch_listed(source, listing, say)
    return _locked(source, files, commit=commit)


def _announce_move(name: str, source: HubParent, locked: str, say: Say) -> None:
    if hub.COMMIT.match(source.revision):
        return
    try:
        now = hub.list_repo(source.hub, source.revision).commit
    except (HubUnreachableError, ParentError):
        return  # the lock and the cache suffice, even if the repository is gone
    if now != locked:
        say(
            f"{name}: {source.hub} has moved: `{source.revision}` is now {now[:12]}; "
            f"keeping the locked {locked[:12]}. To follow: tsugiki parents --update {name}"
        )


def _lock_local(name: str, source: LocalParent, before: LockedParent | None) -> LockedParent:
    folder = source.folder
    if not folder.is_dir():
        raise ParentError(
            f"the folder of parent `{name}` does not exist",
            where=source.path,
            expected="a folder with config.json, tokenizer and safetensors files",
            fix="correct `path` in the configuration; it is relative to the working folder",
        )
    refuse_without_weights(source.path, [entry.name for entry in folder.iterdir()])
    files = digest_folder(folder, code=source.trust_remote_code)
    _refuse_change(name, source.path, before, files)
    return _locked(source, files)


def _lock_demo(
    config: RunConfig, name: str, source: DemoParent, before: LockedParent | None, say: Say
) -> LockedParent:
    from tsugiki.demo.parents import ensure_demo_parent

    folder = ensure_demo_parent(source.demo, source.seed, demo_cache(config), say=say)
    files = digest_folder(folder)
    _refuse_change(name, f"the demo's model {source.demo}, seed {source.seed}", before, files)
    return _locked(source, files, folder=folder.name)


def _locked(
    source: LocalParent | HubParent | DemoParent,
    files: tuple[LockedFile, ...],
    *,
    commit: str | None = None,
    folder: str | None = None,
) -> LockedParent:
    return LockedParent(
        source=source.model_dump(mode="json"),
        commit=commit,
        folder=folder,
        files=files,
        digest=digest_of_files(files),
    )


def _refuse_change(
    name: str, where: str, before: LockedParent | None, files: tuple[LockedFile, ...]
) -> None:
    if before is None or before.files == files:
        return
    raise not_as_locked(
        f"parent `{name}`",
        where,
        {file.name: file.sha256 for file in before.files},
        {file.name: file.sha256 for file in files},
        fix=f"restore the files, or lock them as they are with `tsugiki parents --update {name}`",
    )
