"""Looking for files on a disk that other machines write to."""

from __future__ import annotations

from pathlib import Path


def content(folder: Path) -> list[Path]:
    """What is in a folder; nothing if it cannot be listed.

    A network file system may remember for a minute that a file is not there, but it reads a changed
    folder again when that is listed. Whoever waits for a file lists its folder.
    """
    try:
        return list(folder.iterdir())
    except OSError:
        return []
