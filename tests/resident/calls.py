"""Calls of a resident process, as jobs make them, and what came of them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.runs_for_tests import TinyRun
from tsugiki.resident import client
from tsugiki.resident.address import socket_path

ROLE = "evaluate-0"
PATIENCE = 600.0
"""Seconds after which a broken test ends."""


def socket_of(run: TinyRun, role: str = ROLE) -> Path:
    """Where the process listens."""
    return Path(socket_path(role, str(run.files.config)))


def request(run: TinyRun, **changes: Any) -> dict[str, Any]:
    """Evaluate the first generation."""
    plain = {"command": "evaluate", "run": str(run.files.root), "series": "ps", "generation": 0}
    return plain | {"job": 0} | changes


def call(run: TinyRun, say: Callable[[str], None] = lambda _line: None, **changes: Any) -> None:
    """Hand over the work, and wait."""
    client.call(
        ROLE,
        request(run, **changes),
        config=run.files.config,
        threads=1,
        log=run.files.root / "logs" / "resident.log",
        say=say,
    )


def ask(connection: socket.socket, run: TinyRun) -> list[dict[str, Any]]:
    """Hand over the work by a connection that is there; returns all that is answered."""
    with connection.makefile("rw") as stream:
        stream.write(json.dumps(request(run)) + "\n")
        stream.flush()
        return [json.loads(line) for line in stream]


def connected(run: TinyRun) -> socket.socket:
    """A connection to the process that listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(PATIENCE)
    connection.connect(str(socket_of(run)))
    return connection


def process_behind(run: TinyRun) -> int:
    """Number of the process that serves."""
    path = str(socket_of(run))
    words = {one.pid: one.info["cmdline"] or () for one in psutil.process_iter(["cmdline"])}
    (found,) = (process for process, of_process in words.items() if path in of_process)
    return found


def outcomes(run: TinyRun) -> list[Path]:
    """Outcomes that are recorded."""
    return sorted(run.files.series("ps").root.glob("candidates/*/outcome.json"))


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
