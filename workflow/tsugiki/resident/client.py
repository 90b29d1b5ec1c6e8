"""Hand work to a resident process, starting it if need be."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tsugiki.errors import InfrastructureError
from tsugiki.resident.address import socket_path
from tsugiki.resident.conversation import ask, connect

ATTEMPTS = 3
"""A process that holds files that have changed, or is dying, or fails to come up, may take a call."""


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
        path.unlink(missing_ok=True)  # nobody listens there any more
        try:
            with listen(path) as listener:
                _start(path, listener, threads, log)
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                connection.connect(str(path))
        except OSError as error:
            raise InfrastructureError(
                "a resident process cannot be started",
                where=str(path),
                got=str(error),
                fix="set TMPDIR to a folder on this machine's own disk, or `resident: false`",
            ) from error
        return connection


def listen(path: Path) -> socket.socket:
    """A socket for a process that is yet to be started, and accepts what waits there when it can.

    Clients need not wait until the process has come up, however long a busy machine takes, and one
    that dies while it comes up is noticed at once. If its client is killed meanwhile, the next client
    finds it all the same, and starts no second one.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _start(path: Path, listener: socket.socket, threads: int, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "TQDM_DISABLE": "1",
        **{
            name: str(threads)
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        },
    }
    number = listener.fileno()
    with log.open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "tsugiki.resident.server", str(path), str(number)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            pass_fds=(number,),
            start_new_session=True,
        )
