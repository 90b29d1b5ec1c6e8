"""What Snakemake says while it works."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snakemake.logging import logger

from tsugiki.steps.scheduler_words import hush_scheduler


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """Messages that pass the logger, once it is hushed."""
    before = list(logger.filters)
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    hush_scheduler()
    yield messages
    logger.removeHandler(handler)
    logger.filters[:] = before


def fail(message: str | None, **more: Any) -> None:
    """As Snakemake reports a failed job."""
    record = {"rule_name": "evaluate", "rule_msg": message, "log": ["own.log", "slurm.log"], **more}
    logger.error("Error in rule evaluate, jobid: 3", extra=record)


def test_commentary_is_dropped_and_the_rest_is_kept(heard: list[str]) -> None:
    """Two lines per job would drown a run's own progress."""
    logger.warning("Select jobs to execute...")
    logger.warning("Execute 2 jobs...")
    logger.warning("something to know")
    assert heard == ["something to know"]


def test_a_failure_on_a_cluster_is_told_with_its_logs(heard: list[str]) -> None:
    """The scheduler's first line is the reason; what it was called with goes to the log file."""
    fail("SLURM-job '7' failed, SLURM status is: 'TIMEOUT'.\n  sbatch call: ...")
    assert heard[0].splitlines() == [
        "rule evaluate: SLURM-job '7' failed, SLURM status is: 'TIMEOUT'.",
        "  log: own.log",
        "  log: slurm.log",
    ]
    assert len(heard) == 2


FAULT = """the machine failed while a candidate was scored
  where: recipe 123 on n1
  fix: the job is tried again
  log: own.log
"""
TRACEBACK = """Traceback (most recent call last):
  File "steps.py", line 1, in evaluate
    run()
AssertionError: no such thing
"""
KILLED = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-26 DUE TO TIME LIMIT ***\n"


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (FAULT, FAULT.splitlines()[:3]),
        ("warning\n" + TRACEBACK, ["AssertionError: no such thing"]),
        (TRACEBACK + KILLED, ["AssertionError: no such thing", KILLED.strip()]),
        ("x" * 100_000 + "\n" + KILLED, [KILLED.strip()]),
        ("", []),
    ],
)
def test_a_jobs_own_last_words_are_told(
    heard: list[str], tmp_path: Path, log: str, told: list[str]
) -> None:
    """So that nobody has to look for a file on a cluster to learn that a GPU is missing."""
    (tmp_path / "7.log").write_text(log)
    reason = "SLURM-job '7' failed, SLURM status is: 'FAILED'."
    noise = " Detailed failure reason unavailable (status command is not 'sacct').For further ..."
    fail(reason + noise, log=["own.log", str(tmp_path / "7.log")])
    first, *words, _own, _slurm = heard[0].splitlines()
    assert first == f"rule evaluate: {reason}"
    assert [word[2:] for word in words] == told


def test_a_local_failure_speaks_for_itself(heard: list[str]) -> None:
    """Its own message is on the terminal already."""
    fail(None)
    assert heard == ["Error in rule evaluate, jobid: 3"]
