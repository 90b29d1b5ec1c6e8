"""Keeping the scheduler's running commentary from drowning a run's own progress."""

from __future__ import annotations

import logging

COMMENTARY = ("Select jobs to execute", "Execute ")


def hush_scheduler() -> None:
    """Drop Snakemake's two lines per job from its log; its other messages and errors stay."""
    from snakemake.logging import logger

    target: logging.Logger = logger
    target.addFilter(_is_no_commentary)


def _is_no_commentary(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(COMMENTARY)
