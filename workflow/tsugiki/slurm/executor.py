"""Snakemake's executor for SLURM, without waiting that nobody needs.

It is that of snakemake-executor-plugin-slurm in all but three things. SLURM is asked about jobs when
they have written their outputs, and once a minute besides, not only minutes after. A submission that a
busy controller refuses is made again, and is no failure of its job. And there are no job arrays.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_executor_plugin_slurm import ExecutorSettings, common_settings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

LOOK = 1.0
"""Seconds between two looks at the file system."""
LONGEST_PAUSE = 60.0
"""Seconds after which the scheduler is asked in any case: a job that failed has written no outputs."""
REFUSED_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0, 60.0)
"""Seconds between one call of `sbatch` and the next, while the controller is too busy to take a job;
after the last, the refusal counts as a failure of the job."""
WORTH_A_LINE = 30.0
"""Seconds of waiting for a busy controller, after which people are told."""
BUSY = re.compile(
    "temporarily unable to accept job|resource temporarily unavailable|unable to contact slurm controller"
    "|socket timed out|connection refused|connection reset|connection timed out|transport endpoint"
    "|zero bytes were transmitted|backup controller|standby mode|rate limit|too many requests"
    "|job submit limit|maxsubmitjob",
    re.IGNORECASE,
)
"""What SLURM says when the same call may do a moment later, limits on jobs in the queue included."""


MOMENT = 1.0
"""Seconds after which a job may have ended once it has written its outputs."""


class Executor(SlurmExecutor):  # type: ignore[misc]
    """Submits jobs to SLURM, and follows them."""

    def __post_init__(self, test_mode: bool = False) -> None:
        if arrays := self.workflow.executor_settings.array_jobs:
            from snakemake.exceptions import WorkflowError

            raise WorkflowError(
                f"tsugiki-slurm-array-jobs: {arrays}: this executor has no job arrays. "
                "Remove the setting: jobs are submitted one by one, in milliseconds each."
            )
        self._ending = threading.Event()
        self._refused: dict[Any, tuple[Any, str]] = {}
        super().__post_init__(test_mode)

    def run_job(self, job: Any) -> None:
        """Submit a job; wait and submit it again while the controller is too busy to take it."""
        for pause in (*REFUSED_PAUSES, None):
            super().run_job(job)
            refusal = self._refused.pop(job, None)
            if refusal is None:
                return
            if pause is None or self._ending.wait(pause):
                super()._report_job_error_threadsafe(*refusal)
                return
            if pause >= WORTH_A_LINE:
                self.logger.warning("SLURM's controller refuses jobs still: it is asked again")

    def _report_job_error_threadsafe(self, job_info: Any, msg: str) -> None:
        """What the plugin does with a job that it could not submit, and with other failures."""
        if is_refusal(msg):
            self._refused[job_info.job] = (job_info, msg)
        else:
            super()._report_job_error_threadsafe(job_info, msg)

    def shutdown(self) -> None:
        """End, without waiting for a controller."""
        self._ending.set()
        super().shutdown()

    async def sleep(self) -> None:
        """Wait until the next check of jobs is due.

        The plugin checks ever less often, up to every three minutes, while a whole generation waits
        for the last of its jobs. Outputs are on a disk that this machine sees too, and to look there
        costs the scheduler nothing: once a job has written its own, the scheduler is asked soon. A
        job's state is only ever taken from the scheduler.
        """
        begun = time.monotonic()
        usual = begun + min(LONGEST_PAUSE, self.next_seconds_between_status_checks)
        while self.wait and (now := time.monotonic()) < usual:
            self._watch.look(jobs_that_have_written(list(self.active_jobs)), now)
            if now >= begun + self._pause and self._watch.is_due(now):
                return
            await asyncio.sleep(min(LOOK, usual - now))

    @property
    def _pause(self) -> float:
        settings = self.workflow.remote_execution_settings
        return float(settings.seconds_between_status_checks)

    @cached_property
    def _watch(self) -> Watch:
        return Watch(self._pause)


def is_refusal(message: str) -> bool:
    """Whether the plugin speaks of an `sbatch` that failed, although nothing is wrong with the job.

    Args:
        message: What the plugin says; the call that failed, which names files, is below that.
    """
    said, _, _ = message.partition("sbatch call:")
    return said.startswith("SLURM sbatch failed") and BUSY.search(said) is not None


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
