"""Files and folders that are either whole or absent, whatever kills the writer."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".tmp"
_OWNER = re.compile(r"\.(?P<host>[A-Za-z0-9-]+)~(?P<pid>\d+)~")


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
    write_all({path: data}, synced=synced)


def write_all(files: Mapping[Path, bytes], *, synced: bool = True) -> None:
    """Write many files as `write_bytes` does, waiting for the disk once they are all written.

    A killed writer leaves the first ones, each whole.
    """
    temporary: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=SUFFIX)
            temporary[path] = Path(name)
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
        for written in temporary.values() if synced else ():
            _sync(written)
        for path, written in temporary.items():
            written.chmod(0o644)
            written.replace(path)
    except BaseException:
        for written in temporary.values():
            written.unlink(missing_ok=True)
        raise
    for parent in {path.parent: None for path in files} if synced else ():
        _sync(parent)


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
                _sync(file)
        temporary.chmod(0o755)
        while True:
            try:
                temporary.rename(path)
                break
            except OSError as error:
                occupied = error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
                if not (replace and occupied):
                    raise
            remove(path)
        _sync(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


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


def _sync(path: Path) -> None:
    """Wait until the disk holds a file's content, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():  # some network file systems cannot sync a folder
            raise
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
    except PermissionError:  # of another user
        return True
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    # a process that was killed has its number until its parent asks for it
    return status.rpartition(")")[2].split()[0] != "Z"
