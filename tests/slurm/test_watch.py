"""When a cluster's scheduler is asked about jobs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tsugiki.slurm.executor import Watch, jobs_that_have_written


def job(number: str, *outputs: Path) -> Any:
    """A submitted job, as Snakemake's executors list it."""
    return SimpleNamespace(
        external_jobid=number, job=SimpleNamespace(output=[str(path) for path in outputs])
    )


def test_a_job_has_written_when_all_its_outputs_are_there(tmp_path: Path) -> None:
    """Not with one of two, nor where its folder does not exist."""
    (tmp_path / "one").touch()
    jobs = [
        job("1", tmp_path / "one"),
        job("2", tmp_path / "one", tmp_path / "other"),
        job("3", tmp_path / "nowhere/other"),
        job("4"),
    ]
    assert jobs_that_have_written(jobs) == {"1"}


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
    assert asked(Watch(3.0), {"7": 0}) == [1, 4, 7, 11, 17, 26, 39, 59]


def test_each_job_has_its_own_pauses() -> None:
    """One that is long in ending does not delay another."""
    alone, later = asked(Watch(3.0), {"7": 0}), asked(Watch(3.0), {"8": 30})
    assert later[:3] == [31, 34, 37]
    assert asked(Watch(3.0), {"7": 0, "8": 30}) == sorted({*alone, *later})


def test_a_job_that_writes_again_is_waited_for_anew() -> None:
    """Old outputs are removed when a job starts."""
    watch = Watch(3.0)
    asked(watch, {"7": 0})
    watch.look(set(), 60)
    assert asked(watch, {"7": 50}) == [51, 54, 57]
