"""One workflow at a time per run: a lock that the system frees, however its holder ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from tsugiki.errors import LineageError

_held: dict[Path, IO[str]] = {}


def hold_run_lock(root: Path) -> None:
    """Hold the lock of a run until this process ends.

    Snakemake's own locks outlive a killed workflow and must then be removed by hand.

    Raises:
        LineageError: another workflow holds it.
    """
    path = (root / ".lock").absolute()
    if path in _held:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise LineageError(
            "another workflow is at work on this run",
            where=str(root),
            got=f"process {holder}",
            fix="wait for it, or end it",
        ) from error
    except OSError:
        pass  # a file system without locks; Snakemake's outputs are still atomic
    file.seek(0)
    file.truncate()
    file.write(f"{os.getpid()} on {os.uname().nodename}\n")
    file.flush()
    _held[path] = file
