"""What Snakemake says while it works."""

from __future__ import annotations

import logging
from collections.abc import Iterator
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


def test_a_local_failure_speaks_for_itself(heard: list[str]) -> None:
    """Its own message is on the terminal already."""
    fail(None)
    assert heard == ["Error in rule evaluate, jobid: 3"]
