"""Ask a cluster's scheduler about jobs when they are about to end, and not minutes after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

LOOK = 1.0
"""Seconds between two looks at the file system."""


def check_when_outputs_appear() -> None:
    """Let Snakemake's executors for clusters look for their jobs' outputs between two checks.

    The SLURM plugin asks for the state of jobs ever less often, up to every three minutes, while a
    whole generation waits for the last of its jobs. Outputs are on a disk that this machine sees
    too, and to look there costs the scheduler nothing. Once a job has written its outputs, the
    scheduler is asked soon. The usual checks go on, for jobs that end without outputs, and a job's
    state is only ever taken from the scheduler.
    """
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    watches: WeakKeyDictionary[Any, Watch] = WeakKeyDictionary()

    async def sleep(executor: Any) -> None:
        pause = executor.workflow.remote_execution_settings.seconds_between_status_checks
        watch = watches.setdefault(executor, Watch(pause))
        begun = time.monotonic()
        usual = begun + executor.next_seconds_between_status_checks
        while executor.wait and (now := time.monotonic()) < usual:
            watch.look(_written(list(executor.active_jobs)), now)
            if now >= begun + pause and watch.is_due(now):
                return
            await asyncio.sleep(min(LOOK, usual - now))

    RemoteExecutor.sleep = sleep


class Watch:
    """When to ask about jobs that have written their outputs: after a pause, then ever less often.

    A job takes a moment to end after it has written. Where outputs are there for another reason,
    as before a job that writes them again, the scheduler must not be asked all the time.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._seen: dict[str, float] = {}
        self._next: dict[str, float] = {}

    def look(self, jobs: AbstractSet[str], now: float) -> None:
        """Take note of all jobs that have written; times in seconds."""
        self._seen = {job: self._seen.get(job, now) for job in jobs}
        self._next = {job: self._next.get(job, now + self._pause) for job in jobs}

    def is_due(self, now: float) -> bool:
        """Whether to ask now: the pause grows to half the time since a job has written."""
        due = [job for job, at in self._next.items() if at <= now]
        for job in due:
            self._next[job] = now + max(self._pause, (now - self._seen[job]) / 2)
        return bool(due)


def _written(active: Iterable[Any]) -> set[str]:
    """Jobs of the scheduler, by its number, all of whose outputs are there.

    Folders are listed, since a network file system may remember for a minute that a file is not there.
    """
    outputs = {job.external_jobid: [Path(path) for path in job.job.output] for job in active}
    folders = {path.parent for paths in outputs.values() for path in paths}
    there = {path for folder in folders for path in _content(folder)}
    return {number for number, paths in outputs.items() if paths and there.issuperset(paths)}


def _content(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
