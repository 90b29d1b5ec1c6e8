"""When to ask a cluster's scheduler about jobs: as soon as they are about to end."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

MOMENT = 1.0
"""Seconds after which a job may have ended once it has written its outputs."""


class Watch:
    """When to ask about jobs that are about to end: in a moment, then ever less often.

    A job may take longer to end. Where outputs are there for another reason, as before a job that
    writes them again, the scheduler must not be asked all the time.

    Args:
        pause: Least seconds between two questions about the same job.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._seen: dict[str, float] = {}
        self._next: dict[str, float] = {}

    def look(self, jobs: AbstractSet[str], now: float) -> None:
        """Take note of all jobs that have written their outputs; times in seconds."""
        self._seen = {job: self._seen.get(job, now) for job in jobs}
        self._next = {job: self._next.get(job, now + MOMENT) for job in jobs}

    def is_due(self, now: float) -> bool:
        """Whether to ask now: the pause grows to half the time since a job was noted."""
        due = [job for job, at in self._next.items() if at <= now]
        for job in due:
            self._next[job] = now + max(self._pause, (now - self._seen[job]) / 2)
        return bool(due)


def jobs_that_have_written(active: Iterable[Any]) -> set[str]:
    """Jobs of the scheduler, by its number, all of whose outputs are there.

    A network file system may remember for a minute that a file is not there, but it reads a changed
    folder again when that is listed. So the outputs' folders are listed.
    """
    outputs = {job.external_jobid: [Path(path) for path in job.job.output] for job in active}
    folders = {path.parent for paths in outputs.values() for path in paths}
    there = {path for folder in folders for path in _content(folder)}
    return {number for number, paths in outputs.items() if paths and there.issuperset(paths)}


def _content(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # not there yet, or a network disk that stumbles
        return []
