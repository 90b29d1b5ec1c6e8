"""Fetch a parent from the Hub and prove that every byte is what the Hub lists."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from tsugiki.config.parents import HubParent
from tsugiki.contracts.locks import LockedFile
from tsugiki.errors import InfrastructureError, ParentError
from tsugiki.models.absent import no_weights
from tsugiki.models.files import SUFFIX, describe, git_blob_id, model_files, needed
from tsugiki.models.kinds.registry import layout_of
from tsugiki.parents import hub
from tsugiki.parents.hub import HubUnreachableError, ListedFile, Listing

Log = Callable[[str], None]


def fetch_listed(source: HubParent, listing: Listing, log: Log) -> tuple[LockedFile, ...]:
    """Fetch the needed files of a listing into the cache and verify them.

    Raises:
        ParentError: the repository holds no safetensors weights, or a file stays damaged.
        InfrastructureError: the Hub's cache cannot be written.
    """
    by_name = {file.name: file for file in listing.files}
    wanted = [by_name[name] for name in needed(by_name, code=source.trust_remote_code)]
    refuse_without_weights(source.hub, source.hub, by_name)
    files = _fetch(source, listing.commit, wanted, log)
    hub.remember(source.hub, source.revision, listing.commit)
    return files


def fetch_locked(
    source: HubParent, commit: str, files: tuple[LockedFile, ...], log: Log
) -> tuple[LockedFile, ...]:
    """Fetch what a lock names, where the cache lacks it, and verify it against the lock.

    Raises:
        ParentError: the cache lacks files and the Hub cannot be asked, or a file stays damaged.
        InfrastructureError: the Hub's cache cannot be written.
    """
    wanted = [ListedFile(file.name, file.size, file.sha256, None) for file in files]
    return _fetch(source, commit, wanted, log)


def take_cached(source: HubParent, reason: str, log: Log) -> tuple[str, tuple[LockedFile, ...]]:
    """Use what an earlier run left in the cache, since the Hub cannot be asked.

    Returns:
        The commit, and the verified files.

    Raises:
        ParentError: the cache does not hold the revision, or holds damaged files.
    """
    folder = hub.cached_snapshot(source.hub, source.revision, code=source.trust_remote_code)
    if folder is None:
        raise not_in_cache(source, source.revision, reason)
    log(f"{source.hub}: the Hub cannot be asked ({reason}); taking commit {folder.name[:12]}")
    names = model_files(folder)
    refuse_without_weights(source.hub, source.hub, names)
    wanted = [
        hub.expected_from_link(folder / name, name)
        for name in needed(names, code=source.trust_remote_code)
    ]
    return folder.name, _fetch(source, folder.name, wanted, log)


def refuse_without_weights(name: str, where: str, files: Collection[str]) -> None:
    """Refuse a model whose files, by their names, are no safetensors weights.

    Raises:
        ParentError: none of them is a safetensors file that would be fetched.
    """
    if not any(file.endswith(SUFFIX) for file in needed(files)):
        raise no_weights(name, where, files, layout_of(files)).error


def not_in_cache(source: HubParent, revision: str, reason: str) -> ParentError:
    """The error for a parent that is not on this machine while the Hub cannot be asked."""
    return ParentError(
        f"parent `{source.hub}` is not on this machine, and the Hub cannot be asked",
        where=f"revision {revision}",
        got=reason,
        fix="run `tsugiki parents` once on a node with internet that shares this cache (HF_HOME)",
    )


def _fetch(
    source: HubParent, commit: str, wanted: list[ListedFile], log: Log
) -> tuple[LockedFile, ...]:
    missing = [
        file.name for file in wanted if hub.cached_file(source.hub, commit, file.name) is None
    ]
    if missing:
        size = sum(file.size or 0 for file in wanted if file.name in missing)
        log(f"{source.hub}: fetching {len(missing)} files, {size / 1e9:.2f} GB")
        try:
            hub.download(source.hub, commit, [file.name for file in wanted])
        except HubUnreachableError as error:
            raise not_in_cache(source, commit, str(error)) from error
    return tuple(_verified(source, commit, file, log) for file in wanted)


def _verified(source: HubParent, commit: str, file: ListedFile, log: Log) -> LockedFile:
    path = hub.cached_file(source.hub, commit, file.name)
    if path is None:
        raise InfrastructureError(
            f"`{file.name}` did not arrive",
            where=f"{source.hub} at {commit}",
            fix="run `tsugiki parents` again",
        )
    found = describe(path, file.name)
    if _is(found, path, file):
        return found
    log(f"{source.hub}: the cached copy of {file.name} is damaged; fetching it again")
    try:
        path = hub.download_again(source.hub, commit, file.name)
    except (HubUnreachableError, ValueError) as error:
        raise _damaged(source, commit, file, found, "the Hub cannot be asked for it") from error
    found = describe(path, file.name)
    if not _is(found, path, file):
        raise _damaged(source, commit, file, found, "a fresh copy is no better")
    return found


def _is(found: LockedFile, path: Path, expected: ListedFile) -> bool:
    if expected.size is not None and found.size != expected.size:
        return False
    if expected.sha256 is not None:
        return found.sha256 == expected.sha256
    return expected.blob_id is None or git_blob_id(path) == expected.blob_id


def _damaged(
    source: HubParent, commit: str, file: ListedFile, found: LockedFile, reason: str
) -> ParentError:
    return ParentError(
        f"`{file.name}` is damaged, and {reason}",
        where=f"{source.hub} at {commit}",
        expected=f"SHA-256 {file.sha256}" if file.sha256 else f"Git object {file.blob_id}",
        got=f"SHA-256 {found.sha256}, {found.size} bytes",
        fix="run `tsugiki parents` again on a node with internet",
    )
