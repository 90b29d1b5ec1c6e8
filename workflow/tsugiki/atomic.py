"""Files and folders that are either whole or absent, whatever kills the writer."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

SUFFIX = ".tmp"
OPEN_FILES = 200
"""Files that are written at the same time; systems allow 1,024 or more."""
_OWNER = re.compile(r"\.(?P<host>[A-Za-z0-9-]+)~(?P<pid>\d+)~")

OCCUPIED = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
"""Why a folder cannot be renamed to a path where something stands."""


def never_there(path: Path) -> Path:
    """A name beside `path` that no other process has; `sweep` removes what is left there."""
    return path.with_name(f"{_prefix(path)}{SUFFIX}")


def write_bytes(path: Path, data: bytes, *, synced: bool = True) -> None:
    """Write a file through a temporary one in the same folder, then rename it.

    Args:
        path: The file; its folder is made.
        data: Its content.
        synced: Wait until the disk holds it. Whoever can make the file again, and would notice
            that a power failure has damaged it, may go on at once.
    """
    _write([(path, data)], synced=synced)


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write many files as `write_bytes` does, waiting for the disk once for many.

    A killed writer leaves the first ones, each whole.
    """
    entries = list(files.items())
    for start in range(0, len(entries), OPEN_FILES):
        _write(entries[start : start + OPEN_FILES], synced=True)


def _write(files: Sequence[tuple[Path, bytes]], *, synced: bool) -> None:
    temporary: list[Path] = []
    with ExitStack() as opened:
        try:
            streams = []
            for path, data in files:
                path.parent.mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(
                    dir=path.parent, prefix=_prefix(path), suffix=SUFFIX
                )
                temporary.append(Path(name))
                streams.append(opened.enter_context(os.fdopen(handle, "wb")))
                streams[-1].write(data)
                streams[-1].flush()
            for stream in streams if synced else ():
                os.fsync(stream.fileno())
            for written, (path, _) in zip(temporary, files, strict=True):
                written.chmod(0o644)
                written.replace(path)
        except BaseException:
            for written in temporary:
                written.unlink(missing_ok=True)
            raise
    if synced:
        for parent in dict.fromkeys(path.parent for path, _ in files):
            sync_folder(parent)


def write_if_changed(path: Path, data: bytes) -> bool:
    """Write `data` unless the file already holds it; say whether it was written."""
    if path.is_file() and path.read_bytes() == data:
        return False
    write_bytes(path, data)
    return True


@contextmanager
def folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` if the block succeeds.

    If the block raises, nothing is left.

    Args:
        path: The folder; what it lies in is made. An empty folder may stand there.
        replace: Replace whatever else stands there, as a whole. It has to be the caller's own.

    Raises:
        OSError: something stands at `path`, and is not to be replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path), suffix=SUFFIX))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync_file(file)
        temporary.chmod(0o755)
        if replace:
            replace_folder(temporary, path)
        else:
            temporary.rename(path)
            sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def replace_folder(source: Path, target: Path) -> None:
    """Rename `source` to `target`, moving what stood there out of the way first."""
    while True:
        try:
            source.rename(target)
        except OSError as error:
            if error.errno not in OCCUPIED:
                raise
            remove(target)
        else:
            sync_folder(target.parent)
            return


def write_new(path: Path, data: bytes) -> bool:
    """Write a file where nothing stands, not even a broken link; say whether it was written."""
    if os.path.lexists(path):
        return False
    write_bytes(path, data)
    return True


def remove(path: Path) -> None:
    """Remove a folder, all of it at once, even if another process still writes into it."""
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path), suffix=SUFFIX))
    with suppress(FileNotFoundError):  # another process has moved it
        path.rename(aside / "old")
    shutil.rmtree(aside, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Make renames inside a folder durable, where the file system can."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems cannot sync a folder
    finally:
        os.close(handle)


def sweep(root: Path) -> list[Path]:
    """Remove what writers of this machine that were killed left under `root`; say what it was.

    A writer that is alive, or was on another machine, is left alone.
    """
    removed = []
    for path in sorted(_temporary(root)):
        owner = _OWNER.search(path.name)
        if owner is None or owner["host"] != _host() or _alive(int(owner["pid"])):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed.append(path)
    return removed


def _temporary(root: Path) -> Iterator[Path]:
    """What writers have not finished. `Path.rglob` would fail where a folder is renamed meanwhile."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            if name.startswith(".") and name.endswith(SUFFIX):
                yield Path(folder, name)


def _prefix(path: Path) -> str:
    return f".{path.name}.{_host()}~{os.getpid()}~"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", os.uname().nodename)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
