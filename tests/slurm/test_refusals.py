"""A controller that refuses submissions, and job arrays, without a SLURM."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_interface_common.exceptions import WorkflowError

from tsugiki.slurm import executor
from tsugiki.slurm.executor import REFUSED_PAUSES, Executor

SAID = "SLURM sbatch failed. The error message was '{}'.\n    sbatch call:\n        sbatch {}\n"
BUSY = (
    "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
    "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
    "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit)",
)
WRONG = (
    "sbatch: error: invalid partition specified: gpus",
    "sbatch: error: Batch job submission failed: Requested node configuration is not available",
    "/bin/sh: 1: sbatch: not found",
)


class Submits(Executor):
    """The executor, with time that passes at once."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.logger = logging.getLogger(__name__)
        self._ending = SimpleNamespace(wait=self._wait)
        self._refused = {}

    def _wait(self, pause: float) -> bool:
        self.waited.append(pause)
        return False


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is reported as the failure of a job."""
    reported: list[str] = []
    monkeypatch.setattr(
        SlurmExecutor,
        "_report_job_error_threadsafe",
        lambda _, __, message: reported.append(message),
    )
    return reported


def answers(monkeypatch: pytest.MonkeyPatch, found: Iterator[str | None]) -> None:
    """Have sbatch answer so, one call after the other; None is a job that it takes."""

    def run_job(self: Any, job: Any) -> None:
        if (message := next(found)) is not None:
            said = SAID.format(message, "--comment timed-out")
            self._report_job_error_threadsafe(SimpleNamespace(job=job), said)

    monkeypatch.setattr(SlurmExecutor, "run_job", run_job)


@pytest.mark.parametrize("message", BUSY)
def test_a_refused_submission_is_made_again_and_fails_no_job(
    monkeypatch: pytest.MonkeyPatch, failures: list[str], message: str
) -> None:
    """Snakemake, which counts attempts, hears nothing of it."""
    answers(monkeypatch, iter([message, message, None]))
    submits = Submits()
    submits.run_job(object())
    assert (failures, submits.waited) == ([], [*REFUSED_PAUSES[:2]])


def test_a_controller_that_refuses_for_long_fails_the_job(
    monkeypatch: pytest.MonkeyPatch, failures: list[str]
) -> None:
    """Once, with its words."""
    answers(monkeypatch, iter([BUSY[0]] * 100))
    submits = Submits()
    submits.run_job(object())
    assert submits.waited == [*REFUSED_PAUSES]
    assert [BUSY[0] in message for message in failures] == [True]


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_with_a_job_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, failures: list[str], message: str
) -> None:
    """It would be refused again."""
    answers(monkeypatch, iter([message]))
    submits = Submits()
    submits.run_job(object())
    assert submits.waited == []
    assert [message in said for said in failures] == [True]


def test_a_workflow_that_ends_does_not_wait_for_the_controller(
    monkeypatch: pytest.MonkeyPatch, failures: list[str]
) -> None:
    """After Ctrl-C, say."""
    answers(monkeypatch, iter([BUSY[0]] * 100))
    submits = Submits()
    submits._ending = threading.Event()
    monkeypatch.setattr(SlurmExecutor, "shutdown", lambda _: None)
    submits.shutdown()
    submits.run_job(object())
    assert len(failures) == 1


def test_job_arrays_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not job by job, when the first array fails."""
    monkeypatch.setattr(executor.SlurmExecutor, "__post_init__", pytest.fail)
    submits = Submits()
    settings = executor.ExecutorSettings(array_jobs="evaluate")
    submits.workflow = SimpleNamespace(executor_settings=settings)
    with pytest.raises(WorkflowError, match="tsugiki-slurm-array-jobs: evaluate") as caught:
        submits.__post_init__()
    assert "Remove the setting" in str(caught.value)
