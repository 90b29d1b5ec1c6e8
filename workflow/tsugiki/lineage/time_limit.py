"""Calls that end in time, whatever a library does meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tsugiki.errors import InfrastructureError

AGAIN = 1.0
"""Seconds after which a call is ended once more: a library may take the first time for a reason to retry."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End the block when it takes longer; only in a process's main thread.

    Raises:
        InfrastructureError: it took longer.
    """

    def late(*_: object) -> None:
        raise InfrastructureError("no answer in time", expected=f"one within {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Limited:
    """An object each of whose methods takes no longer than some seconds.

    Args:
        inner: The object.
        seconds: For each call.
    """

    def __init__(self, inner: Any, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def limited(*arguments: Any, **named: Any) -> Any:
            with time_limit(self._seconds):
                return method(*arguments, **named)

        return limited
