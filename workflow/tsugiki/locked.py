"""A lock on a file, which the system frees however its holder ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def locked(path: Path, *, timeout: float = -1) -> Iterator[None]:
    """Hold the lock of a file; the file is made where it is absent, and stays.

    Args:
        path: The file, which other processes lock, too.
        timeout: Seconds to wait for another holder; without end if negative.

    Raises:
        TimeoutError: another process has held it for so long.
        OSError: the file cannot be made, or its file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # no lock by a file's existence, which would outlive a holder that is killed
    with FileLock(path, timeout=timeout, thread_local=False, fallback_to_soft=False):
        yield
