"""When a cluster's scheduler is asked about jobs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from tsugiki.steps import status_checks
from tsugiki.steps.status_checks import Watch, check_when_outputs_appear

HOURS = 10_000.0


class Executor(RemoteExecutor):  # type: ignore[misc]
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

    def run_job(self, job: Any) -> None:
        """Not called here."""

    def cancel_jobs(self, active_jobs: list[Any]) -> None:
        """Not called here."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks often; Snakemake's own way of waiting is back afterwards."""
    monkeypatch.setattr(status_checks, "LOOK", 0.01)
    monkeypatch.setattr(RemoteExecutor, "sleep", RemoteExecutor.sleep)
    check_when_outputs_appear()


def run(executor: Executor, limit: float = 20.0) -> int:
    """Run the loop; returns how often it asked. The limit only ends what waits for hours."""
    with suppress(TimeoutError):
        asyncio.run(asyncio.wait_for(executor._wait_for_jobs(), limit))
    return executor.checks


def test_a_job_that_has_written_is_asked_for_soon(tmp_path: Path) -> None:
    """And not hours later."""
    written = tmp_path / "evaluated-0.json"
    written.touch()
    assert run(Executor(written)) == 2


def test_a_job_that_has_not_written_all_is_left_alone(tmp_path: Path) -> None:
    """Nor one whose folder does not exist."""
    (tmp_path / "one").touch()
    for missing in (tmp_path / "other", tmp_path / "nowhere/other"):
        assert run(Executor(tmp_path / "one", missing), limit=0.2) == 1


def test_the_usual_checks_go_on(tmp_path: Path) -> None:
    """A job that fails writes nothing."""
    assert run(Executor(tmp_path / "missing", usual=0.1)) == 2


def test_the_workflow_ends_without_waiting(tmp_path: Path) -> None:
    """Nothing is left to ask for when the executor shuts down."""
    executor = Executor(tmp_path / "missing")
    executor.wait = False
    assert asyncio.run(asyncio.wait_for(executor.sleep(), 20.0)) is None


def asked(watch: Watch, seen: dict[str, float]) -> list[int]:
    """Seconds at which a scheduler is asked, of a minute; jobs by the second they have written in."""
    times = []
    for now in range(60):
        watch.look({job for job, since in seen.items() if since <= now}, now)
        if watch.is_due(now):
            times.append(now)
    return times


def test_pauses_grow_while_a_job_does_not_end() -> None:
    """As for outputs that were there before their job: to half the time since they were seen."""
    assert asked(Watch(3.0), {"7": 0}) == [3, 6, 9, 14, 21, 32, 48]


def test_each_job_has_its_own_pauses() -> None:
    """One that is long in ending does not delay another."""
    alone, later = asked(Watch(3.0), {"7": 0}), asked(Watch(3.0), {"8": 30})
    assert later[:3] == [33, 36, 39]
    assert asked(Watch(3.0), {"7": 0, "8": 30}) == sorted({*alone, *later})


def test_a_job_that_writes_again_is_waited_for_anew() -> None:
    """Snakemake removes old outputs when a job starts."""
    watch = Watch(3.0)
    asked(watch, {"7": 0})
    watch.look(set(), 60)
    assert asked(watch, {"7": 50}) == [53, 56, 59]
