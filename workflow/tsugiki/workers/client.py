"""Have a worker do a job's step, starting the worker if need be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tsugiki.errors import InfrastructureError, TsugikiError
from tsugiki.workers.dispatch import Request, ask, connect, socket_path, workers_allowed

if TYPE_CHECKING:
    from tsugiki.config.run import RunConfig
    from tsugiki.contracts.layout import RunFiles

ATTEMPTS = 3
"""A worker that holds files that have changed, or is dying, or fails to come up, may take a call."""


def done_by_worker(
    files: RunFiles,
    settings: RunConfig,
    command: str,
    phase: str,
    generation: int,
    job: int = 0,
    *,
    rung: int | None = None,
    log: Callable[[str], None],
) -> bool:
    """Have a worker do a step; False if this process has to do it.

    Raises:
        InfrastructureError: the worker died.
        TsugikiError: what the work itself raised.
    """
    if not (settings.evaluation.resident and workers_allowed()):
        return False
    request = Request(command, str(files.config), phase, generation, job, rung)
    try:
        call(request, log, threads=1 if request.has_fallback else settings.evaluation.threads)
    except TsugikiError:
        if not request.has_fallback:
            raise
        return False
    return True


def call(request: Request, log: Callable[[str], None], *, threads: int) -> None:
    """Have a worker do a request, and wait for it.

    Raises:
        InfrastructureError: the worker died.
        TsugikiError: what the work itself raised.
    """
    for _ in range(ATTEMPTS):
        with _connect(request, threads) as connection:
            if ask(connection, request, log):
                return
    raise InfrastructureError(
        "the worker ended before its work began",
        where=request.command,
        fix=f"see {request.log_path}; the job is tried again",
    )


def _connect(request: Request, threads: int) -> socket.socket:
    """A connection to the worker for a request, of which there is never more than one.

    The socket of a new worker is made here, and handed over. So nobody waits until the worker has come
    up, however long a busy machine takes, and one that dies while it comes up is noticed at once. If
    this process is killed meanwhile, the next client finds the worker all the same.
    """
    from tsugiki.locked import locked

    path = Path(socket_path(request))
    with locked(path.with_suffix(".lock")):
        if (found := connect(str(path))) is not None:
            return found
        path.unlink(missing_ok=True)  # nobody listens there any more
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
                listener.bind(str(path))
                listener.listen()
                connection.connect(str(path))
                _start(path, listener, threads, Path(request.log_path))
        except OSError as error:
            connection.close()
            raise InfrastructureError(
                "a worker cannot be started",
                where=str(path),
                got=str(error),
                fix="set TMPDIR to a folder on this machine's own disk, or `resident: false`",
            ) from error
        return connection


def _start(path: Path, listener: socket.socket, threads: int, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    number = listener.fileno()
    with log.open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "tsugiki.workers.server", str(path), str(number)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "TQDM_DISABLE": "1", **dict.fromkeys(variables, str(threads))},
            pass_fds=(number,),
            start_new_session=True,
        )
