"""When `sbatch` fails because the controller is busy, and how long to wait before it is asked again."""

from __future__ import annotations

import re
from typing import Any

PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0, 60.0)
"""Seconds between one call and the next; after the last, the refusal counts as a failure."""

BUSY = re.compile(
    "temporarily unable to accept job|resource temporarily unavailable|unable to contact slurm controller"
    "|socket timed out|connection refused|connection reset|connection timed out|transport endpoint"
    "|zero bytes were transmitted|backup controller|standby mode|rate limit|too many requests"
    "|job submit limit|maxsubmitjob",
    re.IGNORECASE,
)
"""What SLURM says when the same call may do a moment later, limits on jobs in the queue included."""


class Refused(BaseException):
    """A submission that the controller has refused for now.

    No `Exception`: the plugin would take it for a failure of the job.

    Args:
        job: The plugin's record of the job.
        message: What the plugin says of the failure.
    """

    def __init__(self, job: Any, message: str) -> None:
        super().__init__(message)
        self.job = job
        self.message = message


def is_refusal(message: str) -> bool:
    """Whether the plugin speaks of an `sbatch` that failed, although nothing is wrong with the job.

    Args:
        message: What the plugin says; the call that failed, which names files, is below that.
    """
    said, _, _ = message.partition("sbatch call:")
    return said.startswith("SLURM sbatch failed") and BUSY.search(said) is not None
