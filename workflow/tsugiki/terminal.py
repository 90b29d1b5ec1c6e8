"""Where a command's words go: all of them to its log, the important ones to the terminal too."""

from __future__ import annotations

import os
import sys
from pathlib import Path


class Terminal:
    """The process's output, redirected to a log file if there is one.

    File descriptors are redirected, not Python's streams: libraries in C and child processes
    write to the log too.
    """

    def __init__(self, log: Path | None) -> None:
        self._log = log
        self._out = self._err = -1
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            self._out, self._err = os.dup(1), os.dup(2)
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
            os.dup2(file, 1)
            os.dup2(file, 2)
            os.close(file)

    def announce(self, text: str) -> None:
        """Print a line for people who watch the run, and to the log."""
        print(text, flush=True)  # noqa: T201 - the command's output
        if self._log is not None:
            os.write(self._out, f"{text}\n".encode())

    def complain(self, text: str) -> None:
        """Print a fault, and to the log."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command's output
        if self._log is not None:
            os.write(self._err, f"{text}\n  log: {self._log}\n".encode())
