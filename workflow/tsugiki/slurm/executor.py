"""Snakemake's executor for SLURM, without waiting that nobody needs.

It is that of snakemake-executor-plugin-slurm in all but two things. A job runs its rule's command, not
a Snakemake that starts another that runs the command. And SLURM is asked about jobs when they have
written their outputs or failed, not minutes after.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_executor_plugin_slurm import ExecutorSettings, common_settings

from tsugiki.slurm.failures import Failures
from tsugiki.slurm.plain import as_node_job
from tsugiki.slurm.watch import Watch, jobs_that_have_written

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

LOOK = 1.0
"""Seconds between two looks at the file system."""


class Executor(SlurmExecutor):  # type: ignore[misc]
    """Submits jobs to SLURM, and follows them."""

    def format_job_exec(self, job: Any) -> str:
        """What a job's script runs; Snakemake itself for a job that is more than a shell command."""
        plain = as_node_job(job, self.workflow)
        if plain is None or {job.rule.name, "all"} & self.array_jobs:
            return str(super().format_job_exec(job))
        plain = replace(plain, failed=str(self._failures.file_for(job)))
        program = [self.get_python_executable(), "-m", "tsugiki.slurm.job"]
        command = shlex.join([*program, plain.to_json()])
        if self.workflow.executor_settings.pass_command_as_script:
            return command
        return _for_double_quotes(command)

    async def sleep(self) -> None:
        """Wait until the next check of jobs is due.

        The plugin checks ever less often, up to every three minutes, while a whole generation waits
        for the last of its jobs. Outputs are on a disk that this machine sees too, and to look there
        costs the scheduler nothing. Once a job has written its outputs, or said that it has failed,
        the scheduler is asked soon. The usual checks go on, for jobs that are killed, and a job's
        state is only ever taken from the scheduler.
        """
        begun = time.monotonic()
        usual = begun + self.next_seconds_between_status_checks
        while self.wait and (now := time.monotonic()) < usual:
            active = list(self.active_jobs)
            self._watch.look(jobs_that_have_written(active) | self._failures.among(active), now)
            if now >= begun + self._pause and self._watch.is_due(now):
                return
            await asyncio.sleep(min(LOOK, usual - now))

    @property
    def _pause(self) -> float:
        settings = self.workflow.remote_execution_settings
        return float(settings.seconds_between_status_checks)

    @cached_property
    def _failures(self) -> Failures:
        return Failures(Path(".snakemake"))

    @cached_property
    def _watch(self) -> Watch:
        return Watch(self._pause)


def _for_double_quotes(command: str) -> str:
    """The plugin hands a command to a shell in double quotes, and only sees to quotes within."""
    for special in "\\$`":
        command = command.replace(special, f"\\{special}")
    return command
