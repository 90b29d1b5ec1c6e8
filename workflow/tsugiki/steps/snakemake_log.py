"""Snakemake's log: less of it while all goes well, and enough when a job on a cluster fails."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

from tsugiki.contracts.layout import RunFiles
from tsugiki.progress.progress import finished_table

COMMENTARY = ("Select jobs to execute", "Execute ")

STOPPED = "Terminating processes on user request"
ENDED = ("RuleException", "WorkflowError")
"""What Snakemake says of jobs that have ended because the workflow was stopped."""
AT_REST = "Nothing to be done"

NOISE = re.compile(r"\s*(Detailed failure reason unavailable|For further error details).*$")
"""What a scheduler's plugin says to every failure."""
TAIL, WORDS = 8192, 10
"""Bytes of a job's log that are read, and lines that are repeated."""


def filter_log(files: RunFiles, *, is_dry_run: Callable[[], bool]) -> None:
    """Say less than Snakemake of each job, and more of a plan, of failures and of the end.

    Our profiles are quiet about rules and progress, and Snakemake then hides the plan of a dry run and
    failures too. A local job tells its own on the terminal; of one on a node nothing would be seen but
    another attempt. Where nothing is to be done, the final table is shown again. `is_dry_run` says whether
    nothing but a plan is asked for.
    """
    from snakemake.logging import logger

    target: logging.Logger = logger

    stopped = False

    def listen(record: logging.LogRecord) -> bool:
        nonlocal stopped
        message = record.getMessage()
        if failure := describe_failure(record):
            target.error(failure)
        if getattr(record, "stats", None) is not None and is_dry_run():
            target.warning(message)
        if message.startswith(STOPPED):
            record.msg = "stopped; give the same command to go on"
            stopped = True
        elif message.startswith(AT_REST) and (more := finished_table(files)):
            record.msg = f"{message}\n{more}"
        return not message.startswith((*COMMENTARY, *(ENDED if stopped else ())))

    target.addFilter(listen)


def describe_failure(record: logging.LogRecord) -> str | None:
    """Why a scheduler's job failed, its own last words, and where its logs are.

    None for any other record: only Snakemake's executors for clusters give their failures a message of
    their own.
    """
    reason = getattr(record, "rule_msg", None)
    if not reason:
        return None
    logs = [str(path) for path in getattr(record, "log", [])]
    first = NOISE.sub("", str(reason).splitlines()[0])
    lines = [f"rule {getattr(record, 'rule_name', '?')}: {first}"]
    lines += [f"  {line}" for line in last_words(Path(logs[-1]))] if logs else []
    lines += [f"  log: {path}" for path in logs]
    return "\n".join(lines)


def last_words(log: Path) -> list[str]:
    """What a job printed at last, and what the scheduler wrote below it; of a traceback, its end."""
    try:
        with log.open("rb") as file:
            skipped = max(0, log.stat().st_size - TAIL)
            file.seek(skipped)
            lines = file.read().decode(errors="replace").splitlines()[skipped > 0 :]
    except OSError:
        return []
    lines = [line for line in lines if line.strip() and not line.startswith("  log: ")]
    begun = max((i for i, line in enumerate(lines) if line.startswith("Traceback")), default=None)
    if begun is not None:
        ends = (i for i in range(begun + 1, len(lines)) if not lines[i].startswith(" "))
        lines = lines[next(ends, begun) :]
    return lines[-WORDS:]
