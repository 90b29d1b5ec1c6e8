"""How a worker is started and found, and how it ends."""

from __future__ import annotations

import select
import socket
import sys
import threading
from contextlib import nullcontext

import pytest

from tests.conftest import MakeRun
from tests.workers.calls import (
    ask,
    call,
    connected,
    listening,
    outcomes,
    request,
    said,
    socket_of,
    wait_until,
    with_candidates,
)
from tests.workers.conftest import Servers
from tsugiki.errors import InfrastructureError
from tsugiki.workers import start

pytestmark = pytest.mark.usefixtures("_unedited")


def test_a_client_need_not_wait_until_its_process_has_come_up(
    make_run: MakeRun, servers: Servers
) -> None:
    """That may take long on a busy machine: what is asked meanwhile is answered then."""
    run = with_candidates(make_run(), 1)
    path = socket_of(run)
    listener = listening(path)
    with connected(run) as connection:
        threading.Timer(0.1, servers.serve, (path, listener)).start()
        assert ask(connection, run)[-1] == {"done": True}


def test_a_process_that_is_coming_up_is_found_by_the_next_client(
    make_run: MakeRun, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client that has started it may have been killed; no second one is started."""
    run = with_candidates(make_run(), 1)
    path = socket_of(run)
    started: list[socket.socket] = []
    monkeypatch.setattr(start, "_launch", lambda _path, own, *_: started.append(own.dup()))
    start.start_worker(request(run), 1).close()
    assert len(started) == 1
    start.start_worker(request(run), 1).close()
    assert len(started) == 1
    servers.serve(path, started[0])
    call(run)
    assert len(outcomes(run)) == len(started) == 1


def test_a_process_that_does_not_come_up_is_a_fault_of_the_machine(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noticed when it ends, not by a clock."""
    run = with_candidates(make_run(), 1)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(InfrastructureError, match="ended before its work began") as caught:
        call(run)
    assert "logs/resident-evaluate-0.log" in str(caught.value.fix)


def test_a_socket_that_cannot_be_made_is_a_fault_of_the_machine(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems have none."""
    run = with_candidates(make_run(), 1)

    def fail(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket.socket, "bind", fail, raising=False)
    with pytest.raises(InfrastructureError, match="cannot be started") as caught:
        call(run)
    assert caught.value.where == str(socket_of(run))
    assert "TMPDIR" in str(caught.value.fix)


def test_a_worker_is_kept_from_the_network_as_a_job_is(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the user's environment says otherwise."""
    wanted = request(make_run())
    given: list[dict[str, str]] = []
    monkeypatch.setattr(start.subprocess, "Popen", lambda *_, env, **__: given.append(env))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "0")
    start.start_worker(wanted, 1).close()
    assert given[0]["HF_HUB_OFFLINE"] == "1"
    assert given[0]["HF_DATASETS_OFFLINE"] == "0"


def test_an_idle_process_ends(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """And takes its socket with it, but not before the client that has started it was served."""
    monkeypatch.setenv("TSUGIKI_RESIDENT_IDLE", "0.001")
    run = with_candidates(make_run(), 1)
    call(run)
    assert len(outcomes(run)) == 1
    wait_until(lambda: not socket_of(run).exists())


def test_a_client_that_dies_before_it_has_asked_ends_no_process(
    make_run: MakeRun, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does one that dies in the middle of its request."""
    run = with_candidates(make_run(), 1)
    servers.start(socket_of(run))
    monkeypatch.delattr(start, "_launch")
    for part in (b"", said(run)[:20]):
        with connected(run) as connection:
            connection.sendall(part)
    call(run)
    assert len(outcomes(run)) == 1


def test_a_connection_ends_with_its_work(
    make_run: MakeRun, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not when all that refers to it has been collected."""
    run = make_run()
    kept: list[object] = []
    monkeypatch.setattr(
        "tsugiki.evaluate.batch.ShardEvaluator.evaluate", lambda *_, **more: kept.append(more)
    )
    servers.start(socket_of(run))
    with connected(run) as connection:
        assert ask(connection, run) == [{"done": True}]
    assert len(kept) == 1


@pytest.mark.parametrize("accepts", [True, False], ids=["accepted", "at the last moment"])
def test_a_call_taken_by_a_dying_process_goes_to_the_next(
    make_run: MakeRun, servers: Servers, monkeypatch: pytest.MonkeyPatch, *, accepts: bool
) -> None:
    """It ends without a word, before or after it has accepted the connection."""
    run = with_candidates(make_run(), 1)
    path = socket_of(run)
    dying = listening(path)
    started: list[socket.socket] = []

    def die() -> None:
        select.select([dying], [], [])
        with dying, dying.accept()[0] if accepts else nullcontext():
            pass

    def launch(_path: object, listener: socket.socket, *_: object) -> None:
        started.append(listener.dup())
        servers.serve(path, started[0])

    monkeypatch.setattr(start, "_launch", launch)
    death = threading.Thread(target=die)
    death.start()
    call(run)
    death.join()
    assert len(outcomes(run)) == len(started) == 1
