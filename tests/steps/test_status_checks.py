"""When a cluster's scheduler is asked about jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from tsugiki.steps import status_checks
from tsugiki.steps.status_checks import Watch, check_when_outputs_appear

HOURS = 10_000.0


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Looks often; Snakemake's own way of waiting is back afterwards."""
    monkeypatch.setattr(status_checks, "LOOK", 0.01)
    before = RemoteExecutor.sleep
    check_when_outputs_appear()
    yield
    RemoteExecutor.sleep = before


def executor(*outputs: Path, usual: float = HOURS, wait: bool = True) -> Any:
    """As much of an executor as waiting needs, with one job."""

    class Stub:
        workflow = SimpleNamespace(
            remote_execution_settings=SimpleNamespace(seconds_between_status_checks=0.02)
        )
        next_seconds_between_status_checks = usual
        active_jobs = [
            SimpleNamespace(
                external_jobid="7", job=SimpleNamespace(output=[str(path) for path in outputs])
            )
        ]

    stub: Any = Stub()
    stub.wait = wait
    return stub


def wait(stub: Any, seconds: float = 20.0) -> None:
    """Wait as Snakemake does between two checks; the limit only ends a broken test."""
    asyncio.run(asyncio.wait_for(RemoteExecutor.sleep(stub), seconds))


@pytest.mark.usefixtures("_quick")
def test_a_job_that_has_written_is_asked_for_soon(tmp_path: Path) -> None:
    """And not hours later."""
    written = tmp_path / "evaluated-0.json"
    written.touch()
    wait(executor(written))


@pytest.mark.usefixtures("_quick")
def test_a_job_that_has_not_written_all_is_left_alone(tmp_path: Path) -> None:
    """Nor one whose folder does not exist."""
    (tmp_path / "one").touch()
    for missing in (tmp_path / "other", tmp_path / "nowhere/other"):
        with pytest.raises(TimeoutError):
            wait(executor(tmp_path / "one", missing), seconds=0.2)


@pytest.mark.usefixtures("_quick")
def test_the_usual_checks_go_on(tmp_path: Path) -> None:
    """A job that fails writes nothing."""
    begun = time.monotonic()
    wait(executor(tmp_path / "missing", usual=0.1))
    assert time.monotonic() - begun >= 0.1


@pytest.mark.usefixtures("_quick")
def test_the_workflow_ends_without_waiting(tmp_path: Path) -> None:
    """Nothing is left to ask for when the executor shuts down."""
    wait(executor(tmp_path / "missing", wait=False))


def asked(watch: Watch, seen: dict[str, float]) -> list[int]:
    """Seconds at which a scheduler is asked, of a minute; jobs by the second they have written in."""
    times = []
    for now in range(60):
        watch.look({job for job, since in seen.items() if since <= now}, now)
        if watch.is_due(now):
            times.append(now)
    return times


def test_pauses_double_while_a_job_does_not_end() -> None:
    """As for outputs that were there before their job."""
    assert asked(Watch(3.0), {"7": 0}) == [3, 9, 21, 45]


def test_each_job_has_its_own_pauses() -> None:
    """One that is long in ending does not delay another."""
    assert asked(Watch(3.0), {"7": 0, "8": 12}) == [3, 9, 15, 21, 33, 45, 57]


def test_a_job_that_writes_again_is_waited_for_anew() -> None:
    """Snakemake removes old outputs when a job starts."""
    watch = Watch(3.0)
    asked(watch, {"7": 0})
    watch.look(set(), 60)
    assert asked(watch, {"7": 50}) == [53, 59]
