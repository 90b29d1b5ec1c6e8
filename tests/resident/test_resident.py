"""Work handed to a long-lived process, and what happens when it or its client dies."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeRun
from tests.runs_for_tests import TinyRun
from tsugiki import errors
from tsugiki.errors import InfrastructureError, LineageError, TsugikiError
from tsugiki.resident import client, kept, server
from tsugiki.resident.address import socket_path
from tsugiki.resident.kept import code_stamp

ROLE = "evaluate-0"
PATIENCE = 60.0
IDLE = 3.0
"""Seconds after which a process ends: more than a busy machine takes between two calls."""


@pytest.fixture(autouse=True)
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder for sockets; the package may be edited while tests run."""
    with tempfile.TemporaryDirectory(prefix="tsugiki-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(server, "code_stamp", lambda: 1)
        monkeypatch.setattr(kept, "code_stamp", lambda: 1)
        yield Path(folder)


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


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another process; the limit only ends a broken test."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def process_behind(run: TinyRun) -> int:
    """Number of the process that listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(socket_of(run)))
        size = struct.calcsize("3i")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return int(struct.unpack("3i", credentials)[0])


def outcomes(run: TinyRun) -> list[Path]:
    """Outcomes that are recorded."""
    return sorted(run.files.series("ps").root.glob("candidates/*/outcome.json"))


def with_candidates(run: TinyRun, count: int) -> TinyRun:
    """The run with a first generation."""
    run.write_population([run.recipe(weight=0.01 * number) for number in range(count)])
    return run


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[TinyRun], threading.Thread]]:
    """Starts the server in a thread of this process, for what needs no death."""
    monkeypatch.setattr(server, "IDLE_SECONDS", IDLE)
    threads: list[threading.Thread] = []

    def start(run: TinyRun) -> threading.Thread:
        path = socket_of(run)
        thread = threading.Thread(target=server.serve, args=(path,), daemon=True)
        thread.start()
        threads.append(thread)
        wait_until(path.exists)
        return thread

    yield start
    for thread in threads:
        thread.join(PATIENCE)


def test_a_killed_process_is_a_fault_of_the_machine_and_the_next_call_goes_on(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was scored is kept; the process serves two calls, and ends when left idle."""
    monkeypatch.setenv("TSUGIKI_RESIDENT_IDLE", str(IDLE))
    run = with_candidates(make_run(), 4)
    lines: list[str] = []
    killed: list[int] = []

    def kill(line: str) -> None:
        lines.append(line)
        killed.append(process_behind(run))
        os.kill(killed[-1], signal.SIGKILL)

    with pytest.raises(InfrastructureError, match="ended before") as caught:
        call(run, kill)
    assert "resident.log" in str(caught.value.fix)
    assert lines[0].startswith("[1/4] ")
    first = outcomes(run)[0].stat().st_mtime_ns if len(outcomes(run)) == 1 else None
    done = run.files.series("ps").generation(0).evaluated(0)
    assert not done.exists()

    lines.clear()
    call(run, lines.append)
    assert [line[:6] for line in lines] == ["[1/4] ", "[2/4] ", "[3/4] ", "[4/4] "]
    assert done.exists()
    if first is not None:
        assert first in {path.stat().st_mtime_ns for path in outcomes(run)}
    process = process_behind(run)
    assert process not in killed
    call(run)
    assert process_behind(run) == process
    wait_until(lambda: not socket_of(run).exists())


def test_an_idle_process_ends(
    make_run: MakeRun, here: Callable[[TinyRun], threading.Thread]
) -> None:
    """And takes its socket with it."""
    run = make_run()
    thread = here(run)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not socket_of(run).exists()


def test_an_error_of_the_work_arrives_as_it_was_raised(
    make_run: MakeRun, here: Callable[[TinyRun], threading.Thread]
) -> None:
    """The same class, with all its parts; the process goes on."""
    run = with_candidates(make_run(), 1)
    here(run)
    recipe = run.recipe(weight=0.0)
    stranger = recipe.parents[0].model_copy(update={"digest": "0" * 64})
    wrong = recipe.model_copy(update={"parents": (stranger, recipe.parents[1])})
    run.write_population([wrong], series="wrong")
    with pytest.raises(LineageError, match="not the one") as caught:
        call(run, series="wrong")
    assert caught.value.expected == "0" * 64
    call(run)
    assert len(outcomes(run)) == 1


def test_an_unexpected_error_arrives_with_its_trace_and_ends_the_process(
    make_run: MakeRun, here: Callable[[TinyRun], threading.Thread]
) -> None:
    """Nobody knows what state it left behind."""
    run = make_run()
    thread = here(run)
    with pytest.raises(TsugikiError, match="unexpected error") as caught:
        call(run, series="nowhere")
    assert "FileNotFoundError" in str(caught.value.got)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_fault_of_the_machine_ends_the_process(
    make_run: MakeRun, here: Callable[[TinyRun], threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a CUDA fault nothing works in the same process."""
    run = with_candidates(make_run(), 1)
    thread = here(run)

    def fail(*_arguments: object, **_more: object) -> None:
        raise InfrastructureError("the GPU is gone", fix="try again")

    monkeypatch.setattr("tsugiki.evaluate.batch.score", fail)
    with pytest.raises(InfrastructureError, match="the GPU is gone"):
        call(run)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_work_stops_between_candidates_when_its_client_is_gone(
    make_run: MakeRun, here: Callable[[TinyRun], threading.Thread]
) -> None:
    """A cancelled job does not keep a process busy; what is scored is kept for the next."""
    run = with_candidates(make_run(), 40)
    here(run)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(socket_of(run)))
        with connection.makefile("rw") as stream:
            stream.write(json.dumps(request(run)) + "\n")
            stream.flush()
            stream.readline()
    lines: list[str] = []
    counts: list[int] = []

    def count(line: str) -> None:
        counts.append(len(outcomes(run)))
        lines.append(line)

    call(run, count)
    assert counts[0] < 40
    assert len(lines) == len(outcomes(run)) == 40


def test_a_client_that_comes_at_the_last_moment_is_served(
    make_run: MakeRun, here: Callable[[TinyRun], threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the time-out and the end of the process."""
    run = with_candidates(make_run(), 1)
    path = socket_of(run)
    waiting: list[socket.socket] = []
    real = fcntl.flock

    def late(*arguments: Any) -> None:
        if not waiting:
            waiting.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            waiting[0].connect(str(path))
        real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", late)
        here(run)
        wait_until(lambda: bool(waiting))
    with waiting[0] as connection, connection.makefile("rw") as stream:
        stream.write(json.dumps(request(run)) + "\n")
        stream.flush()
        messages = [json.loads(line) for line in stream]
    assert messages[-1] == {"done": True}


def test_a_call_taken_by_a_dying_process_goes_to_the_next(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts, and ends without a word."""
    run = with_candidates(make_run(), 1)
    path = socket_of(run)
    dying = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dying.bind(str(path))
    dying.listen()
    started: list[threading.Thread] = []

    def die() -> None:
        connection, _ = dying.accept()
        dying.close()
        connection.close()

    def start(path: Path, _threads: int, _log: Path) -> None:
        started.append(threading.Thread(target=server.serve, args=(path,)))
        started[-1].start()

    monkeypatch.setattr(server, "IDLE_SECONDS", IDLE)
    monkeypatch.setattr(client, "_start", start)
    death = threading.Thread(target=die)
    death.start()
    call(run)
    death.join(PATIENCE)
    assert len(outcomes(run)) == len(started) == 1
    started[0].join(PATIENCE)


def test_another_run_folder_or_role_has_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the path of the configuration is written; and the folder is nobody else's."""
    first = socket_path("evaluate-0", str(tmp_path / "run/config.lock.yaml"))
    monkeypatch.chdir(tmp_path)
    here = socket_path("evaluate-0", str(tmp_path / "run/config.lock.yaml"))
    assert socket_path("evaluate-0", "run/../run/config.lock.yaml") == here
    others = {
        socket_path("evaluate-1", "run/config.lock.yaml"),
        socket_path("evaluate-0", "other/config.lock.yaml"),
    }
    assert len({first, here, *others}) == 4
    assert Path(first).parent.stat().st_mode & 0o777 == 0o700


def test_code_is_stamped_by_its_newest_file() -> None:
    """Nanoseconds, over all of the package."""
    package = Path(errors.__file__).parent
    newest = max(path.stat().st_mtime_ns for path in package.rglob("*.py"))
    assert code_stamp() == newest
