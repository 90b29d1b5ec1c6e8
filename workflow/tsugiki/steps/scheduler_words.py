"""What Snakemake says: less while all goes well, and enough when a job on a cluster fails."""

from __future__ import annotations

import logging

COMMENTARY = ("Select jobs to execute", "Execute ")


def hush_scheduler() -> None:
    """Drop Snakemake's two lines per job from its log, and say why a job on a cluster failed.

    Our profiles are quiet about rules, and Snakemake then hides failures too. A local job tells its
    own on the terminal; of one on a node nothing would be seen but another attempt.
    """
    from snakemake.logging import logger

    target: logging.Logger = logger

    def listen(record: logging.LogRecord) -> bool:
        if failure := describe_failure(record):
            target.error(failure)
        return not record.getMessage().startswith(COMMENTARY)

    target.addFilter(listen)


def describe_failure(record: logging.LogRecord) -> str | None:
    """Why a scheduler's job failed, and where its logs are; None for any other record.

    Only Snakemake's executors for clusters give their failures a message of their own.
    """
    reason = getattr(record, "rule_msg", None)
    if not reason:
        return None
    lines = [f"rule {getattr(record, 'rule_name', '?')}: {str(reason).splitlines()[0]}"]
    lines += [f"  log: {path}" for path in getattr(record, "log", [])]
    return "\n".join(lines)
