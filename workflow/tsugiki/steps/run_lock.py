"""One workflow at a time per run: a lock that the system frees, however its holder ends."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from tsugiki.errors import LineageError
from tsugiki.locked import locked

_held: dict[Path, ExitStack] = {}


def hold_run_lock(root: Path) -> None:
    """Hold the lock of a run until this process ends.

    Snakemake's own locks outlive a killed workflow and must then be removed by hand.

    Raises:
        LineageError: another workflow holds it.
    """
    path = (root / ".lock").absolute()
    if path in _held:
        return
    lock = ExitStack()
    try:
        lock.enter_context(locked(path, timeout=0))
    except TimeoutError as error:
        raise LineageError(
            "another workflow is at work on this run",
            where=str(root),
            got=f"process {path.read_text(encoding='utf-8').strip()}",
            fix="wait for it, or end it",
        ) from error
    except OSError:
        pass  # a file system without locks; Snakemake's outputs are still atomic
    path.write_text(f"{os.getpid()} on {os.uname().nodename}\n", encoding="utf-8")
    _held[path] = lock
