"""Find the locked models on this machine, offline, and refuse files that are not those locked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tsugiki.config.parents import HubParent, LocalParent
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import DECOMPOSITIONS, DEMO_PARENTS, PREPARED_PARENTS
from tsugiki.contracts.locks import LockedFile, LockedParent, ParentsLock
from tsugiki.errors import LineageError, ParentError
from tsugiki.models.files import known_digest, read_digest, remember
from tsugiki.models.kinds.registry import loaded_files


def demo_cache(config: RunConfig) -> Path:
    """Folder that holds the demo's models, shared by the runs in the same results folder."""
    return config.results_folder / DEMO_PARENTS


def prepared_cache(config: RunConfig) -> Path:
    """Folder that holds prepared parents, shared by the runs in the same results folder."""
    return config.results_folder / PREPARED_PARENTS


def decomposition_cache(config: RunConfig) -> Path:
    """Folder that holds decompositions of task vectors, shared by the runs in the same results folder."""
    return config.results_folder / DECOMPOSITIONS


def digest_memory(config: RunConfig) -> Path:
    """File of the digests that are known, shared by the runs in the same results folder."""
    return config.results_folder / "known-digests.json"


def existing_folder(name: str, source: LocalParent) -> Path:
    """The folder of a parent that lies on this machine.

    Raises:
        ParentError: it does not exist.
    """
    if source.folder.is_file():
        raise ParentError(
            f"parent `{name}` is a file, and not a model's folder",
            where=source.path,
            expected="a folder with settings, tokenizer and safetensors files",
            fix="name the folder that it lies in; an image generator in one file is converted first, with "
            "diffusers: StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER), or the same of "
            "the pipeline that it is for",
        )
    if not source.folder.is_dir():
        raise ParentError(
            f"the folder of parent `{name}` does not exist",
            where=source.path,
            expected="a folder with config.json, tokenizer and safetensors files",
            fix="put the model there, or correct `path` in the configuration; it is relative to the "
            "working folder",
        )
    return source.folder


def locate(config: RunConfig, lock: ParentsLock, *, read: bool = False) -> dict[str, Path]:
    """Folder of what is merged of every parent, by name; with `read`, every file is read anew.

    Raises:
        LineageError: the lock lacks a parent of the configuration, or a parent's files are not
            those that were locked.
        ParentError: a parent's files are not on this machine.
    """
    return {name: _checked(config, name, lock, merged=True, read=read) for name in config.parents}


def source_folders(config: RunConfig, lock: ParentsLock) -> dict[str, Path]:
    """Folder of every parent as it came, by name; errors are those of `locate`."""
    return {name: _checked(config, name, lock, merged=False) for name in config.parents}


def places(config: RunConfig, lock: ParentsLock) -> list[Path]:
    """Folder of every parent as it came, whatever is in its files; errors are those of `locate`."""
    return [_folder(config, name, _locked(config, name, lock)) for name in config.parents]


def changed_parents(config: RunConfig, lock: ParentsLock) -> Iterator[LineageError]:
    """What is wrong with the locked parents that are on this machine, as they came and as merged.

    A parent that is not here, or has another source now, is no fault.
    """
    for name, source in config.parents.items():
        locked = lock.parents.get(name)
        if locked is None or locked.source != source.model_dump(mode="json"):
            continue
        for merged in (False, True) if locked.prepared else (False,):
            try:
                _checked(config, name, lock, merged=merged)
            except ParentError:
                continue
            except LineageError as error:
                yield error


def require_files(
    model: str,
    folder: Path,
    files: tuple[LockedFile, ...],
    memory: Path,
    *,
    fix: str,
    closed: bool = True,
    read: bool = False,
) -> None:
    """Refuse a model whose files are not those that were locked. Every job asks before it opens one.

    Args:
        model: What to call it in messages.
        folder: Where it is.
        files: What was locked.
        memory: File of the digests that are known (see `known_digests`).
        fix: What to do about files that have changed.
        closed: Whether the folder may hold no other file that a loader would read.
        read: Read every file, even those that have not changed since they were read last.

    Raises:
        ParentError: a file is not there.
        LineageError: a file has other content, or was added.
    """
    if absent := [file.name for file in files if not (folder / file.name).is_file()]:
        raise _absent(model, str(folder / absent[0]), "no such file")
    sizes = {file.name: f"{file.size} bytes" for file in files}
    present = {name: f"{(folder / name).stat().st_size} bytes" for name in sizes}
    if present != sizes:
        raise not_as_locked(model, str(folder), sizes, present, fix=fix)
    locked = {file.name: file.sha256 for file in files}
    digest = read_digest if read else lambda path: known_digest(path, memory)
    found = {name: digest(folder / name) for name in locked}
    if closed:
        added = {name for name in set(loaded_files()) - locked.keys() if (folder / name).is_file()}
        found |= {name: digest(folder / name) for name in added}
    remember(memory)
    if found != locked:
        raise not_as_locked(model, str(folder), locked, found, fix=fix)


def not_as_locked(
    model: str, where: str, locked: Mapping[str, str], found: Mapping[str, str], *, fix: str
) -> LineageError:
    """The error for a model with other files than were locked; both by name, with their SHA-256."""
    names = sorted(locked.keys() | found.keys())
    changed = [name for name in names if locked.get(name) != found.get(name)]
    return LineageError(
        f"the files of {model} are not those that were locked: {', '.join(changed)}",
        where=where,
        expected="; ".join(f"{name}: {locked.get(name, 'absent')}" for name in changed),
        got="; ".join(f"{name}: {found.get(name, 'absent')}" for name in changed),
        fix=fix,
    )


def lock_anew(name: str) -> str:
    """What to do about a parent's own files that have changed."""
    return f"restore the files, or lock them as they are with `tsugiki parents --update {name}`"


def _checked(
    config: RunConfig, name: str, lock: ParentsLock, *, merged: bool, read: bool = False
) -> Path:
    """A parent's folder as it came, or what is merged of it, once its files are as locked."""
    locked = _locked(config, name, lock)
    hub = isinstance(config.parents[name], HubParent)
    if merged and locked.prepared is not None:
        files, closed = locked.prepared.files, True
        folder = prepared_cache(config) / locked.prepared.folder
        fix = "run `tsugiki parents`, which prepares it again"
    else:
        # a commit's other files may arrive in the Hub's cache at any time
        files, closed, folder = locked.files, not hub, _folder(config, name, locked)
        fix = "run `tsugiki parents`, which fetches damaged files again" if hub else lock_anew(name)
    memory = digest_memory(config)
    require_files(f"parent `{name}`", folder, files, memory, fix=fix, closed=closed, read=read)
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
        return source.folder
    if isinstance(source, HubParent):
        from tsugiki.parents import hub

        first = hub.cached_file(source.hub, str(locked.commit), locked.files[0].name)
        if first is None:
            raise _absent(
                f"parent `{name}`", f"commit {locked.commit} of {source.hub}", "not in the cache"
            )
        return first.parents[locked.files[0].name.count("/")]
    return demo_cache(config) / str(locked.folder)


def _absent(model: str, where: str, got: str) -> ParentError:
    return ParentError(
        f"{model} is not on this machine as it was locked",
        where=where,
        got=got,
        fix="run `tsugiki parents` on a node that shares this cache and has internet",
    )
