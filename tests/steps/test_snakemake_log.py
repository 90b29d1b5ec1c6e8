"""What Snakemake says while it works."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from tests.synthetic_runs import SyntheticRun
from tsugiki.steps.snakemake_log import filter_log


@pytest.fixture
def heard(finished: SyntheticRun) -> Iterator[list[str]]:
    """Messages that pass the logger, once it is filtered."""
    before = list(logger.filters)
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    filter_log(finished.files, is_dry_run=lambda: True)
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


def test_a_dry_run_tells_its_plan(heard: list[str]) -> None:
    """Apart from Snakemake's own record of it, which our profiles do not show."""
    logger.warning("Job stats:\nrank 1", extra={"event": LogEvent.RUN_INFO, "stats": {"rank": 1}})
    assert heard == ["Job stats:\nrank 1"] * 2


def test_a_stopped_run_says_how_to_go_on(heard: list[str]) -> None:
    """Whoever pressed Ctrl-C knows what it was, and that jobs have ended by it."""
    logger.warning("Terminating processes on user request, this might take some time.")
    logger.error("RuleException:\nCalledProcessError: ... returned non-zero exit status 130.")
    assert heard == ["stopped; give the same command to go on"]


def test_a_finished_run_shows_its_table_again(heard: list[str], finished: SyntheticRun) -> None:
    """Below Snakemake's own words."""
    logger.warning("Nothing to be done (all requested files are present and up to date).")
    first, *table = heard[0].splitlines()
    assert first.startswith("Nothing to be done")
    assert table[0] == "synthetic: ja_maths on held-out items"
    assert table[-1] == f"model: {finished.files.best}"


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
