"""Hand work to a resident process, starting it if need be."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tsugiki import errors
from tsugiki.errors import InfrastructureError, TsugikiError
from tsugiki.resident.address import socket_path

START_SECONDS = 60.0
ATTEMPTS = 2
"""A process that is dying may still take a call; it then ends without an answer."""


def call(
    role: str,
    request: dict[str, Any],
    *,
    keeps: list[Path],
    threads: int,
    log: Path,
    say: Callable[[str], None],
) -> None:
    """Have a resident process do `request`, and wait for it.

    Args:
        role: What the process does, job number included.
        request: JSON data for `tsugiki.resident.server`.
        keeps: Files whose content the process keeps in memory.
        threads: CPU threads of the process.
        log: Where a new process writes what it prints.
        say: Takes each line of progress.

    Raises:
        InfrastructureError: the process died.
        TsugikiError: what the work itself raised.
    """
    path = socket_path(role, keeps)
    for _ in range(ATTEMPTS):
        answered = False
        with _connect(path, threads, log) as connection:
            for message in _messages(connection, request):
                answered = True
                if "say" in message:
                    say(message["say"])
                elif "error" in message:
                    raise _error(message["error"])
                elif message.get("done"):
                    return
        if answered:
            break
    raise InfrastructureError(
        "the resident process ended before its work was done",
        where=role,
        fix=f"see {log}; the job is tried again",
    )


def _messages(connection: socket.socket, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the process answers, for as long as it lives."""
    with (
        suppress(OSError, json.JSONDecodeError),  # it was killed, perhaps in the middle of a line
        connection.makefile("rw", encoding="utf-8") as stream,
    ):
        stream.write(json.dumps(request) + "\n")
        stream.flush()
        for line in stream:
            yield json.loads(line)


def _connect(path: Path, threads: int, log: Path) -> socket.socket:
    with path.with_suffix(".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        connection = _try(path)
        if connection is not None:
            return connection
        path.unlink(missing_ok=True)
        _start(path, threads, log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            connection = _try(path)
            if connection is not None:
                return connection
            time.sleep(0.02)
    raise InfrastructureError("a resident process did not start", fix=f"see {log}")


def _try(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        return None
    return connection


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


def _error(message: dict[str, Any]) -> TsugikiError:
    kind = getattr(errors, message.pop("type"), TsugikiError)
    error: TsugikiError = kind(message.pop("what"), **message)
    return error
