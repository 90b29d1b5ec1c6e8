"""Snakemake's executor for SLURM, without waiting that nobody needs.

It is that of snakemake-executor-plugin-slurm in all but four things. A job runs its rule's command, not
a Snakemake that starts another that runs the command. SLURM is asked about jobs when they have
written their outputs or failed, not minutes after. A submission that a busy controller refuses is made
again, and is no failure of its job. And there are no job arrays.
"""

from __future__ import annotations

import asyncio
import shlex
import threading
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_executor_plugin_slurm import ExecutorSettings, common_settings

from tsugiki.slurm.failures import Failures
from tsugiki.slurm.plain import as_node_job
from tsugiki.slurm.refusals import PAUSES, Refused, is_refusal
from tsugiki.slurm.watch import Watch, jobs_that_have_written

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

LOOK = 1.0
"""Seconds between two looks at the file system."""
WORTH_A_LINE = 30.0
"""Seconds of waiting for a busy controller, after which people are told."""


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
        super().__post_init__(test_mode)

    def run_job(self, job: Any) -> None:
        """Submit a job; wait and submit it again while the controller is too busy to take it."""
        for pause in (*PAUSES, None):
            try:
                super().run_job(job)
            except Refused as refusal:
                if pause is None or self._ending.wait(pause):
                    super()._report_job_error_threadsafe(refusal.job, refusal.message)
                    return
                if pause >= WORTH_A_LINE:
                    self.logger.warning("SLURM's controller refuses jobs still: it is asked again")
            else:
                return

    def _report_job_error_threadsafe(self, job_info: Any, msg: str) -> None:
        """What the plugin does with a job that it could not submit, and with other failures."""
        if is_refusal(msg):
            raise Refused(job_info, msg)
        super()._report_job_error_threadsafe(job_info, msg)

    def shutdown(self) -> None:
        """End, without waiting for a controller."""
        self._ending.set()
        super().shutdown()

    def format_job_exec(self, job: Any) -> str:
        """What a job's script runs; Snakemake itself for a job that is more than a shell command."""
        plain = as_node_job(job, self.workflow)
        if plain is None:
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
