"""How far a merge has come, on one line of a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

Progress = Callable[[int, int, int], None]
"""Called after each tensor: tensors written, all tensors, bytes written."""

INTERVAL = 0.1
"""Seconds between two changes of the line."""
WIDTH = 24
"""Characters of the bar."""


def progress_bar(
    stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Progress | None:
    """A bar on `stream` (the process's standard error if absent); None unless that is a terminal.

    Args:
        stream: Where the bar goes.
        clock: Seconds.
    """
    place = sys.stderr if stream is None else stream
    if not place.isatty():
        return None
    start = shown = clock()

    def show(done: int, all_: int, size: int) -> None:
        nonlocal shown
        now = clock()
        if done < all_ and now - shown < INTERVAL:
            return
        shown = now
        end = "\n" if done == all_ else ""
        with suppress(OSError):  # a terminal that has gone away does not end a merge
            place.write(f"\r{line(done, all_, size, now - start)}{end}")
            place.flush()

    return show


def line(done: int, all_: int, size: int, seconds: float) -> str:
    """The bar, tensors, gigabytes (10^9 bytes) and gigabytes a second."""
    filled = WIDTH * done // all_
    speed = size / 1e9 / seconds if seconds > 0 else 0.0
    bar = "#" * filled + "-" * (WIDTH - filled)
    return f"[{bar}] {done}/{all_} tensors  {size / 1e9:.2f} GB  {speed:.2f} GB/s"
