"""Steps that a long-lived process does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tsugiki.errors import TsugikiError

if TYPE_CHECKING:
    from tsugiki.config.run import RunConfig
    from tsugiki.contracts.layout import RunFiles


def done_by_resident(
    files: RunFiles,
    settings: RunConfig,
    command: str,
    series: str,
    generation: int,
    job: int = 0,
    *,
    rung: int | None = None,
    say: Callable[[str], None],
) -> bool:
    """Have a long-lived process do a step; False if this process has to do it.

    Raises:
        InfrastructureError: the process died.
        TsugikiError: what the work itself raised.
    """
    from tsugiki.resident.switch import residents_allowed

    if not (settings.evaluation.resident and residents_allowed()):
        return False
    from tsugiki.resident.client import call
    from tsugiki.resident.requests import HERE_TOO, request_for, role_of

    role = role_of(command, job)
    try:
        call(
            role,
            request_for(command, str(files.root), series, generation, job, rung),
            config=files.config,
            threads=1 if command in HERE_TOO else settings.evaluation.threads,
            log=files.root / "logs" / f"resident-{role}.log",
            say=say,
        )
    except TsugikiError:
        if command not in HERE_TOO:
            raise
        return False  # and is raised again here
    return True
