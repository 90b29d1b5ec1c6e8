"""Sockets of the tests' own, and servers in threads of the tests' own process."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.workers.calls import PATIENCE, listening
from tsugiki.workers import server
from tsugiki.workers.dispatch import connect

HOURS = 1e5


@dataclass
class Servers:
    """Servers that wait for hours, until a test leaves them alone."""

    monkeypatch: pytest.MonkeyPatch
    threads: dict[Path, threading.Thread] = field(default_factory=dict)

    def start(self, path: Path) -> None:
        """Serve on a socket; clients can connect when this returns."""
        self.serve(path, listening(path))

    def serve(self, path: Path, listener: socket.socket) -> None:
        """Serve on a socket that listens already."""
        arguments = (path, listener)
        self.threads[path] = threading.Thread(target=server.serve, args=arguments, daemon=True)
        self.threads[path].start()

    def leave_alone(self, path: Path) -> None:
        """Have a server wait for a moment only, from now on."""
        self.monkeypatch.setattr(server, "IDLE_SECONDS", 0.01)
        connection = connect(str(path))
        if connection is not None:
            connection.close()

    def end(self, path: Path) -> None:
        """Wait until a server has ended."""
        self.threads[path].join(PATIENCE)
        assert not self.threads[path].is_alive()
        assert not path.exists()


@pytest.fixture(autouse=True)
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder for sockets."""
    with tempfile.TemporaryDirectory(prefix="tsugiki-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """Starts servers, and ends them."""
    monkeypatch.setattr(server, "IDLE_SECONDS", HOURS)
    started = Servers(monkeypatch)
    yield started
    for path in started.threads:
        started.leave_alone(path)
        started.end(path)


@pytest.fixture
def _unedited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package may be edited while tests run."""
    monkeypatch.setattr(server, "code_stamp", lambda: 1)
