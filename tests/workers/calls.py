"""Calls of a worker, as jobs make them, and what came of them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.runs_for_tests import TinyRun
from tsugiki.workers import dispatch
from tsugiki.workers.dispatch import Request, connect, socket_path

PATIENCE = 600.0
"""Seconds after which a broken test ends."""


def request(run: TinyRun, **changes: Any) -> Request:
    """Evaluate the first generation."""
    return Request("evaluate", str(run.files.config), "ps", 0)._replace(**changes)


def socket_of(run: TinyRun, command: str = "evaluate") -> Path:
    """Where the worker for a command listens."""
    return Path(socket_path(request(run, command=command)))


def listening(path: Path) -> socket.socket:
    """A socket for a worker, as its client makes it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    return listener


def call(run: TinyRun, log: Callable[[str], None] = lambda _line: None, **changes: Any) -> None:
    """Have a worker do the work, and wait."""
    dispatch.call(request(run, **changes), log, threads=1)


def said(run: TinyRun) -> bytes:
    """What a client sends."""
    return json.dumps(request(run)._asdict()).encode() + b"\n"


def ask(connection: socket.socket, run: TinyRun) -> list[dict[str, Any]]:
    """Ask by a connection that is there; returns all that is answered."""
    connection.sendall(said(run))
    with connection.makefile() as stream:
        return [json.loads(line) for line in stream]


def connected(run: TinyRun) -> socket.socket:
    """A connection to the worker that listens."""
    connection = connect(str(socket_of(run)))
    assert connection is not None
    connection.settimeout(PATIENCE)
    return connection


def process_behind(run: TinyRun) -> int:
    """Number of the process that serves."""
    path = str(socket_of(run))
    words = {one.pid: one.info["cmdline"] or () for one in psutil.process_iter(["cmdline"])}
    (found,) = (process for process, of_process in words.items() if path in of_process)
    return found


def outcomes(run: TinyRun) -> list[Path]:
    """Outcomes that are recorded."""
    return sorted(run.files.phase("ps").root.glob("candidates/*/outcome.json"))


def with_candidates(run: TinyRun, count: int) -> TinyRun:
    """The run with a first generation."""
    run.write_population([run.recipe(weight=0.01 * number) for number in range(count)])
    return run


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another process."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
