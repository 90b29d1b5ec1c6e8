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
        OSError: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path, timeout=timeout, thread_local=False):
        yield
