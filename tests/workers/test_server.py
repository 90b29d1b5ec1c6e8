"""Work done by a worker, and what happens when it or its client dies."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeRun
from tests.runs_for_tests import TinyRun, evaluation_section, write_tasks
from tests.workers.calls import (
    PATIENCE,
    call,
    connected,
    outcomes,
    process_behind,
    said,
    socket_of,
    with_candidates,
)
from tests.workers.conftest import Servers
from tsugiki import errors
from tsugiki.errors import InfrastructureError, LineageError, TsugikiError
from tsugiki.evaluate import batch
from tsugiki.workers.server import code_stamp

pytestmark = pytest.mark.usefixtures("_unedited")

GATED = """
import time

answers = 0
_score = score


def score(doc, results):
    global answers
    answers += 1
    while answers > {answers} and Path({gate!r}).exists():
        time.sleep(0.01)
    return _score(doc, results)
"""
"""Code of a task at whose gate a process waits with its second candidate."""


def gated(make_run: MakeRun, folder: Path) -> tuple[TinyRun, Path]:
    """A run whose second candidate waits while there is a gate, and the gate."""
    section = evaluation_section(write_tasks(folder / "own"))
    code, gate = folder / "own/tiny.py", folder / "gate"
    gate.touch()
    answers = section["items"]["search"]
    code.write_text(code.read_text() + GATED.format(gate=str(gate), answers=answers))
    return make_run(evaluation=section), gate


def test_a_killed_process_is_a_fault_of_the_machine_and_the_next_call_goes_on(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """What was scored is kept, and not scored again; the next process serves two calls."""
    made, gate = gated(make_run, tmp_path)
    run = with_candidates(made, 4)
    lines: list[str] = []
    killed: list[int] = []

    def kill(line: str) -> None:
        lines.append(line)
        killed.append(process_behind(run))
        os.kill(killed[-1], signal.SIGKILL)

    with pytest.raises(InfrastructureError, match="ended before") as caught:
        call(run, kill)
    assert "logs/resident-evaluate-0.log" in str(caught.value.fix)
    assert [line[:6] for line in lines] == ["[1/4] "]
    (first,) = outcomes(run)
    written = first.stat().st_mtime_ns
    done = run.files.phase("ps").generation(0).evaluated(0)
    assert not done.exists()

    gate.unlink()
    lines.clear()
    call(run, lines.append)
    process = process_behind(run)
    assert process not in killed
    assert [line[:6] for line in lines] == ["[1/4] ", "[2/4] ", "[3/4] ", "[4/4] "]
    assert done.exists()
    assert first.stat().st_mtime_ns == written
    call(run)
    assert process_behind(run) == process
    os.kill(process, signal.SIGKILL)


def test_an_error_of_the_work_arrives_as_it_was_raised(make_run: MakeRun, servers: Servers) -> None:
    """The same class, with all its parts; the process goes on."""
    run = with_candidates(make_run(), 1)
    servers.start(socket_of(run))
    recipe = run.recipe(weight=0.0)
    stranger = recipe.parents[0].model_copy(update={"digest": "0" * 64})
    wrong = recipe.model_copy(update={"parents": (stranger, recipe.parents[1])})
    run.write_population([wrong], phase="wrong")
    with pytest.raises(LineageError, match="not the one") as caught:
        call(run, phase="wrong")
    assert caught.value.expected == "0" * 64
    call(run)
    assert len(outcomes(run)) == 1


def test_an_unexpected_error_arrives_with_its_trace_and_ends_the_process(
    make_run: MakeRun, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what state it left behind."""
    run = with_candidates(make_run(), 1)
    servers.start(socket_of(run))

    def fail(*_arguments: object, **_more: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tsugiki.evaluate.batch.score", fail)
    with pytest.raises(TsugikiError, match="unexpected error") as caught:
        call(run)
    assert "ZeroDivisionError" in str(caught.value.got)
    servers.end(socket_of(run))


def test_a_fault_of_the_machine_ends_the_process(
    make_run: MakeRun, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a CUDA fault nothing works in the same process."""
    run = with_candidates(make_run(), 1)
    servers.start(socket_of(run))

    def fail(*_arguments: object, **_more: object) -> None:
        raise InfrastructureError("the GPU is gone", fix="try again")

    monkeypatch.setattr("tsugiki.evaluate.batch.score", fail)
    with pytest.raises(InfrastructureError, match="the GPU is gone"):
        call(run)
    servers.end(socket_of(run))


def test_work_stops_between_candidates_when_its_client_is_gone(
    make_run: MakeRun, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancelled job does not keep a process busy; what is scored is kept for the next."""
    run = with_candidates(make_run(), 5)
    run.write_population([run.recipe(weight=0.0)], generation=1)
    begun, gone = threading.Event(), threading.Event()
    scored: list[str] = []

    def wait_in_the_second(*arguments: Any, recipe: str, **more: Any) -> Any:
        scored.append(recipe)
        if len(scored) == 2:
            begun.set()
            assert gone.wait(PATIENCE)
        return score(*arguments, recipe=recipe, **more)

    score = batch.score
    monkeypatch.setattr(batch, "score", wait_in_the_second)
    servers.start(socket_of(run))
    with connected(run) as connection, connection.makefile() as stream:
        connection.sendall(said(run))
        assert "[1/5]" in stream.readline()
        assert begun.wait(PATIENCE)
    gone.set()
    call(run, generation=1)
    assert len(scored) == len(outcomes(run)) == 2
    lines: list[str] = []
    call(run, lines.append)
    assert len(lines) == len(outcomes(run)) == len(scored) == 5


def test_code_is_stamped_by_its_newest_file() -> None:
    """Nanoseconds, over all of the package."""
    package = Path(errors.__file__).parent
    newest = max(path.stat().st_mtime_ns for path in package.rglob("*.py"))
    assert code_stamp() == newest
