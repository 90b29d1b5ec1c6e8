"""Whether jobs may hand their work to resident processes: not where a scheduler counts processes."""

from __future__ import annotations

import os

SWITCH = "TSUGIKI_RESIDENT"
"""Environment variable; jobs on other nodes inherit it."""


def forbid_residents(*, unless: bool = False) -> None:
    """Have all jobs that are started from now on do their work themselves.

    A process that outlives its job is killed with it by a scheduler, or takes a GPU that the
    scheduler gives to the next job. Residents change no result, so that a configuration with
    `resident: true` is good for a cluster too.

    Args:
        unless: Change nothing: all jobs run on this machine.
    """
    if not unless:
        os.environ[SWITCH] = "no"


def residents_allowed() -> bool:
    """Whether this process may use residents."""
    return os.environ.get(SWITCH) != "no"
