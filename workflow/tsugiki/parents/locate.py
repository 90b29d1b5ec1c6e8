"""Find the locked parents on this machine, offline and without reading them."""

from __future__ import annotations

from pathlib import Path

from tsugiki.config.parents import HubParent, LocalParent
from tsugiki.config.reserved_names import DEMO_PARENTS, PREPARED_PARENTS
from tsugiki.config.run import RunConfig
from tsugiki.errors import LineageError, ParentError
from tsugiki.parents.lock import LockedFile, LockedParent, ParentsLock


def demo_cache(config: RunConfig) -> Path:
    """Folder that holds the demo's models, shared by the runs in the same results folder."""
    return config.results_folder / DEMO_PARENTS


def prepared_cache(config: RunConfig) -> Path:
    """Folder that holds prepared parents, shared by the runs in the same results folder."""
    return config.results_folder / PREPARED_PARENTS


def locate(config: RunConfig, lock: ParentsLock) -> dict[str, Path]:
    """Folder of what is merged of every parent, by name.

    Only existence and sizes of the files are checked: digests were when the parents were locked.

    Raises:
        LineageError: the lock lacks a parent of the configuration.
        ParentError: a parent's files are not on this machine, or have another size.
    """
    folders = {}
    for name in config.parents:
        prepared = _locked(config, name, lock).prepared
        if prepared is None:
            folders[name] = _source_folder(config, name, lock)
        else:
            folders[name] = prepared_cache(config) / prepared.folder
            _check_sizes(name, folders[name], prepared.files)
    return folders


def source_folders(config: RunConfig, lock: ParentsLock) -> dict[str, Path]:
    """Folder of every parent as it came, by name.

    Raises:
        LineageError: the lock lacks a parent of the configuration.
        ParentError: a parent's files are not on this machine, or have another size.
    """
    return {name: _source_folder(config, name, lock) for name in config.parents}


def _source_folder(config: RunConfig, name: str, lock: ParentsLock) -> Path:
    locked = _locked(config, name, lock)
    folder = _folder(config, name, locked)
    _check_sizes(name, folder, locked.files)
    return folder


def _locked(config: RunConfig, name: str, lock: ParentsLock) -> LockedParent:
    if name not in lock.parents:
        raise LineageError(
            f"parent `{name}` is not locked",
            expected=", ".join(sorted(config.parents)),
            got=", ".join(sorted(lock.parents)),
            fix="run `tsugiki parents` with the run's configuration",
        )
    return lock.parents[name]


def _folder(config: RunConfig, name: str, locked: LockedParent) -> Path:
    source = config.parents[name]
    if isinstance(source, LocalParent):
        return Path(source.path).expanduser()
    if isinstance(source, HubParent):
        from tsugiki.parents import hub

        first = hub.cached_file(source.hub, str(locked.commit), locked.files[0].name)
        if first is None:
            raise _absent(name, f"commit {locked.commit} of {source.hub}", "not in the cache")
        return first.parent
    return demo_cache(config) / str(locked.folder)


def _check_sizes(name: str, folder: Path, files: tuple[LockedFile, ...]) -> None:
    for file in files:
        path = folder / file.name
        if not path.is_file():
            raise _absent(name, str(path), "no such file")
        if path.stat().st_size != file.size:
            raise _absent(name, str(path), f"{path.stat().st_size} bytes, not {file.size}")


def _absent(name: str, where: str, got: str) -> ParentError:
    return ParentError(
        f"parent `{name}` is not on this machine as it was locked",
        where=where,
        got=got,
        fix="run `tsugiki parents` on a node that shares this cache and has internet",
    )
