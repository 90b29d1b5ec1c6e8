"""What a resident process can be asked to do, and by which process each command is done."""

from __future__ import annotations

from typing import Any

OPTIONS = {
    "evaluate": ("--series", "--generation", "--job"),
    "rank": ("--series", "--generation"),
    "select": ("--stage", "--generation"),
    "track": ("--series", "--generation"),
}
"""The commands that residents do, and the options that the rules give them, in this order."""
ROLES = {
    "evaluate": "evaluate-{job}",
    "rank": "select",
    "select": "select",
    "track": "track",
}
"""The process that does a command. `rank` and `select` have one of their own: they must not wait for
an evaluation, and need little memory."""
ANNOUNCED = ("rank", "track")
"""Commands whose lines are for the people who watch the run, too."""
HERE_TOO = ("rank", "select", "track")
"""Commands that take little longer in the job's own process than another one takes to start: they are
done there if a resident process fails, whatever the reason."""


def role_of(command: str, job: int) -> str:
    """Name of the process that does a command."""
    return ROLES[command].format(job=job)


RUNG = "--rung"
"""The option that `evaluate` has besides, at the end, for a rung before the last."""


def request_for(
    command: str, run: str, series: str, generation: int, job: int, rung: int | None = None
) -> dict[str, Any]:
    """The request, as JSON data; `run` is the run's folder."""
    return {
        "command": command,
        "run": run,
        "series": series,
        "generation": generation,
        "job": job,
        "rung": rung,
    }
