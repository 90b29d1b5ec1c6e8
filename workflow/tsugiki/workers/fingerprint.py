"""The files that a worker holds in memory, as digests, to know whether they are still those on disk."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from tsugiki.canonical import digest_file
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.steps.plan import Plan

PACKAGE = Path(__file__).parent.parent


def fingerprint(files: RunFiles, config: RunConfig) -> dict[Path, str]:
    """Digests of a run's configuration, parents, items and local tasks; empty where there is none.

    A file that was only touched, or written again with the same content, keeps its digest.

    Args:
        files: The run's files.
        config: Its configuration, which names the tasks.
    """
    tasks = map(Path, Plan(files, config).task_files())
    return {one: digest_of(one) for one in (files.config, files.parents, files.items, *tasks)}


def digest_of(path: Path) -> str:
    """SHA-256 of a file, which is read again only when its time, size or inode have changed."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    return _digest_at(path, found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=4096)
def _digest_at(path: Path, _modified: int, _size: int, _inode: int) -> str:
    return digest_file(path)


def code_stamp() -> int:
    """Newest modification of the package, in nanoseconds."""
    return max(path.stat().st_mtime_ns for path in PACKAGE.rglob("*.py"))
