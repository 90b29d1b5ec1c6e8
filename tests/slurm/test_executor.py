"""How Snakemake's loop of checks waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tsugiki.slurm import executor, watch
from tsugiki.slurm.executor import Executor

HOURS = 10_000.0


class Checks(Executor):
    """Snakemake's own loop of checks, over one job that ends at the second check."""

    def __init__(self, *outputs: Path, usual: float = HOURS) -> None:
        job = SimpleNamespace(output=[str(path) for path in outputs])
        self.active_jobs = [SimpleNamespace(external_jobid="7", job=job)]
        self.checks = 0
        self.wait = True
        self.lock = threading.Lock()
        self._next_seconds_between_status_checks = usual
        self.workflow = SimpleNamespace(
            remote_execution_settings=SimpleNamespace(seconds_between_status_checks=0.02),
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


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "LOOK", 0.01)
    monkeypatch.setattr(watch, "MOMENT", 0.01)


def run(checks: Checks, limit: float = 20.0) -> int:
    """Run the loop; returns how often it asked. The limit only ends what waits for hours."""
    with suppress(TimeoutError):
        asyncio.run(asyncio.wait_for(checks._wait_for_jobs(), limit))
    return checks.checks


def test_a_job_that_has_written_is_asked_for_soon(tmp_path: Path) -> None:
    """And not hours later."""
    written = tmp_path / "evaluated-0.json"
    written.touch()
    assert run(Checks(written)) == 2


def test_a_job_that_has_not_written_is_left_alone(tmp_path: Path) -> None:
    """The scheduler has others to serve."""
    assert run(Checks(tmp_path / "missing"), limit=0.2) == 1


def test_the_usual_checks_go_on(tmp_path: Path) -> None:
    """A job that fails writes nothing."""
    assert run(Checks(tmp_path / "missing", usual=0.1)) == 2


def test_the_workflow_ends_without_waiting(tmp_path: Path) -> None:
    """Nothing is left to ask for when the executor shuts down."""
    checks = Checks(tmp_path / "missing")
    checks.wait = False
    assert asyncio.run(asyncio.wait_for(checks.sleep(), 20.0)) is None
