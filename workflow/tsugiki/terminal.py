"""Where a command's words go: all of them to its log, the important ones to the terminal too."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

if TYPE_CHECKING:
    from pathlib import Path

STOPPED = 130
"""Status of a command that was ended by Ctrl-C, as shells have it."""


def end_by_hand(*, told: bool) -> NoReturn:
    """End this process after Ctrl-C, and say how to go on unless the workflow does."""
    if told:
        sys.stderr.write("\nstopped; give the same command to go on\n")
    sys.exit(STOPPED)


class Terminal:
    """The process's output, redirected to a log file if there is one.

    File descriptors are redirected, not Python's streams: libraries in C and child processes
    write to the log too. As a context, it is taken back at the end.
    """

    def __init__(self, log: Path | str | None) -> None:
        self._log = log
        self._out = self._err = -1
        if log is not None:
            # pathlib takes longer to import than a short command to run
            os.makedirs(os.path.dirname(log) or ".", exist_ok=True)  # noqa: PTH103, PTH120
            self._out, self._err = os.dup(1), os.dup(2)
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
            os.dup2(file, 1)
            os.dup2(file, 2)
            os.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._log is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(self._out, 1)
            os.dup2(self._err, 2)
            os.close(self._out)
            os.close(self._err)

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
