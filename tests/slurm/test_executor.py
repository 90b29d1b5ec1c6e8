"""How Snakemake's loop of checks waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tsugiki.slurm import executor
from tsugiki.slurm.executor import Executor

HOURS = 10_000.0
PAUSE = 3.0


class Checks(Executor):
    """Snakemake's own loop of checks, over one job that ends at the second check."""

    def __init__(self, *outputs: Path) -> None:
        job = SimpleNamespace(output=[str(path) for path in outputs])
        self.active_jobs = [SimpleNamespace(external_jobid="7", job=job)]
        self.checks = 0
        self.wait = True
        self.lock = threading.Lock()
        self._next_seconds_between_status_checks = HOURS
        self.workflow = SimpleNamespace(
            remote_execution_settings=SimpleNamespace(seconds_between_status_checks=PAUSE),
            executor_plugin=SimpleNamespace(
                common_settings=SimpleNamespace(init_seconds_before_status_checks=0)
            ),
        )

    async def check_active_jobs(self, active_jobs: list[Any]) -> AsyncIterator[Any]:
        """Asks the scheduler."""
        self.checks += 1
        for job in active_jobs if self.checks == 1 else ():
            yield job
        self.wait = self.checks == 1


class Clock:
    """Time that passes while the loop sleeps, and never else."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Seconds since the loop has begun."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The executor's clock."""
    ours = Clock()
    monkeypatch.setattr(executor, "time", ours)
    monkeypatch.setattr(executor, "asyncio", ours)
    return ours


def run(checks: Checks) -> int:
    """Run the loop; returns how often it asked."""
    asyncio.run(checks._wait_for_jobs())
    return checks.checks


def test_a_job_that_has_written_is_asked_for_soon(clock: Clock, tmp_path: Path) -> None:
    """After the shortest pause, and not hours later."""
    written = tmp_path / "evaluated-0.json"
    written.touch()
    assert run(Checks(written)) == 2
    assert clock.now == PAUSE


def test_a_job_that_has_not_written_is_asked_for_once_a_minute(
    clock: Clock, tmp_path: Path
) -> None:
    """The scheduler has others to serve, but a job that has failed never writes."""
    assert run(Checks(tmp_path / "missing")) == 2
    assert clock.now == 60.0


def test_the_workflow_ends_without_waiting(clock: Clock, tmp_path: Path) -> None:
    """Nothing is left to ask for when the executor shuts down."""
    checks = Checks(tmp_path / "missing")
    checks.wait = False
    asyncio.run(checks.sleep())
    assert clock.now == 0.0
