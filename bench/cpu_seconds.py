"""CPU-seconds of a command with everything that it starts, processes that outlive it included."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

Result = TypeVar("Result")

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 10.0
"""Seconds between asking left-over processes to end and ending them."""


def adopt_orphans() -> None:
    """Become the parent of processes that outlive theirs, such as tsugiki's residents (Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def cpu_seconds(work: Callable[[], Result]) -> tuple[Result, float]:
    """Do work that starts processes, and count their CPU time.

    Linux adds a process's time to its parent's when the parent waits for it. What is left of
    earlier work is ended before, what this work leaves is ended after it, and counted.
    """
    _end_children()
    before = _of_children()
    result = work()
    _end_children()
    return result, _of_children() - before


def command_seconds(command: Sequence[str], folder: Path) -> float:
    """Run a command that leaves no process behind, in a folder, and count its CPU time.

    If it fails, this process ends with what the command printed.
    """
    before = _of_children()
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return _of_children() - before


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _end_children() -> None:
    """Ask, then force; waiting for each child adds its time."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(number)
        while time.monotonic() < deadline:
            try:
                waited, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not waited:
                time.sleep(0.05)
