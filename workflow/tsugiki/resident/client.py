"""Hand work to a resident process, starting it if need be."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tsugiki.errors import InfrastructureError
from tsugiki.resident.address import socket_path
from tsugiki.resident.conversation import ask, connect

START_SECONDS = 60.0
ATTEMPTS = 3
"""A process that holds files that have changed, or is dying, may still take a call."""


def call(
    role: str,
    request: dict[str, Any],
    *,
    config: Path,
    threads: int,
    log: Path,
    say: Callable[[str], None],
) -> None:
    """Have a resident process do `request`, and wait for it.

    Args:
        role: What the process does, job number included.
        request: JSON data for `tsugiki.resident.server`.
        config: The run's `config.lock.yaml`, by which the process is found.
        threads: CPU threads of the process.
        log: Where a new process writes what it prints.
        say: Takes each line of progress.

    Raises:
        InfrastructureError: the process died.
        TsugikiError: what the work itself raised.
    """
    path = Path(socket_path(role, str(config)))
    for _ in range(ATTEMPTS):
        with _connect(path, threads, log) as connection:
            if ask(connection, request, say, log=str(log)):
                return
    raise InfrastructureError(
        "the resident process ended before its work began",
        where=role,
        fix=f"see {log}; the job is tried again",
    )


def _connect(path: Path, threads: int, log: Path) -> socket.socket:
    with path.with_suffix(".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        connection = connect(str(path))
        if connection is not None:
            return connection
        path.unlink(missing_ok=True)
        _start(path, threads, log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            connection = connect(str(path))
            if connection is not None:
                return connection
            time.sleep(0.02)
    raise InfrastructureError("a resident process did not start", fix=f"see {log}")


def _start(path: Path, threads: int, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "TQDM_DISABLE": "1",
        **{
            name: str(threads)
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        },
    }
    with log.open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "tsugiki.resident.server", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
