"""Starting a worker."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from tsugiki.errors import InfrastructureError
from tsugiki.evaluate.offline import SWITCHES
from tsugiki.locked import locked
from tsugiki.workers.dispatch import Request, connect, socket_path


def start_worker(request: Request, threads: int) -> socket.socket:
    """A connection to the worker for a request, of which there is never more than one.

    The socket of a new worker is made here, and handed over. So nobody waits until the worker has come
    up, however long a busy machine takes, and one that dies while it comes up is noticed at once. If
    this process is killed meanwhile, the next client finds the worker all the same.

    Raises:
        InfrastructureError: there is no folder for its socket, or it cannot be started.
    """
    path = Path(socket_path(request))
    try:
        with locked(path.with_suffix(".lock")):
            if (found := connect(str(path))) is not None:
                return found  # another job was quicker
            path.unlink(missing_ok=True)  # nobody listens there any more
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
                    listener.bind(str(path))
                    listener.listen()
                    connection.connect(str(path))
                    _launch(path, listener, threads, Path(request.log_path))
            except OSError:
                connection.close()
                raise
            return connection
    except OSError as error:
        raise InfrastructureError(
            "a worker cannot be started",
            where=str(path),
            got=str(error),
            fix="set TMPDIR to a folder on this machine's own disk, or `resident: false`",
        ) from error


def _launch(path: Path, listener: socket.socket, threads: int, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    number = listener.fileno()
    with log.open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "tsugiki.workers.server", str(path), str(number)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={
                **dict.fromkeys(SWITCHES, "1"),  # as `stay_offline` has it
                **os.environ,
                "TQDM_DISABLE": "1",
                **dict.fromkeys(variables, str(threads)),
            },
            pass_fds=(number,),
            start_new_session=True,
        )
