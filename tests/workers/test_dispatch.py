"""A job's command, dispatched to the worker that waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from socket import SHUT_WR
from threading import current_thread

import pytest

from tests.conftest import MakeRun
from tests.runs_for_tests import TinyRun
from tests.workers.calls import socket_of
from tests.workers.conftest import Servers
from tsugiki.commands.all import main as commands
from tsugiki.errors import EvaluationError, InfrastructureError
from tsugiki.workers.dispatch import (
    OPTIONS,
    SWITCH,
    Request,
    busy_path,
    connect,
    dispatch,
    forbid_workers,
    socket_path,
    workers_allowed,
)

MAIN = "from tsugiki.cli import main; main()"
LARGE = {"click", "pydantic", "yaml", "pathlib", "tempfile", "subprocess", "numpy", "torch"}

Serve = Callable[[str], Path]


@pytest.fixture
def run(make_run: MakeRun) -> TinyRun:
    """A run whose first generation is drawn and scored."""
    made = make_run()
    for arguments in (("start", "--stage", "ps"), ("evaluate", "--series", "ps")):
        commands([arguments[0], str(made.files.config), *arguments[1:]], standalone_mode=False)
    return made


@pytest.fixture
def serve(run: TinyRun, servers: Servers) -> Serve:
    """Starts the process of a command, in a thread."""

    def start(command: str) -> Path:
        path = socket_of(run, command)
        servers.start(path)
        return path

    return start


def words(run: TinyRun, command: str, *, config: Path | None = None) -> list[str]:
    """The command line of a rule, for the first generation."""
    values = {"--series": "ps", "--stage": "ps", "--generation": "0", "--job": "0"}
    options = [part for name in OPTIONS[command] for part in (name, values[name])]
    log = str(run.files.root / "logs" / f"{command}.log")
    return ["--log", log, command, str(config or run.files.config), *options]


def job(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a rule runs it: in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tsugiki.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def begun(path: Path) -> None:
    """Wait until a worker has taken a connection, so that it no longer clears what a killed one left."""
    connection = connect(str(path))
    assert connection is not None
    with connection:
        connection.shutdown(SHUT_WR)
        assert not connection.recv(1)


def log_of(run: TinyRun, command: str) -> str:
    """What the command's log says."""
    return (run.files.root / "logs" / f"{command}.log").read_text()


def test_ranking_and_selection_are_the_same_by_a_process_and_without(
    run: TinyRun, serve: Serve
) -> None:
    """The same bytes; and the progress is told to people and to the log in either case."""
    phase = run.files.phase("ps")
    after = phase.generation(1)
    written = [phase.generation(0).outcomes, after.population, after.state]
    found = []
    for switch in ("no", "yes"):
        if switch == "yes":
            serve("rank")
        for command in ("rank", "select"):
            done = job(words(run, command), **{SWITCH: switch})
            assert done.returncode == 0, done.stderr
            assert done.stdout == log_of(run, command)
            assert ("best so far" in done.stdout) is (command == "rank")
        found.append([path.read_bytes() for path in written])
        for path in written:
            path.unlink()
    assert found[0] == found[1]


def test_an_evaluation_is_dispatched_and_told_to_the_log_alone(run: TinyRun, serve: Serve) -> None:
    """A line for each candidate."""
    serve("evaluate")
    done = job(words(run, "evaluate"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert log_of(run, "evaluate").count("even") == 4


@pytest.mark.parametrize(
    ("busy", "chosen"), [({0}, 1), ({0, 1}, 0), ({1}, 0)], ids=["own", "both", "other"]
)
def test_an_evaluation_goes_to_a_worker_that_is_free(
    run: TinyRun,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
    busy: set[int],
    chosen: int,
) -> None:
    """Its own first, and if all are busy; the shard stays the job's, and who works says so meanwhile."""
    config = str(run.files.config)
    paths = [Path(socket_path(Request("evaluate", config, "ps", 0, job))) for job in range(2)]
    seen = []

    def note(_evaluator: object, *_what: object, job: int, **_more: object) -> None:
        worker = next(path for path in paths if servers.threads[path] is current_thread())
        seen.append((job, paths.index(worker), Path(busy_path(str(worker))).exists()))

    monkeypatch.setattr("tsugiki.evaluate.batch.ShardEvaluator.evaluate", note)
    for path in paths:
        servers.start(path)
        begun(path)
    for number in busy:
        Path(busy_path(str(paths[number]))).touch()
    assert dispatch(words(run, "evaluate")) == 0
    assert seen == [(0, chosen, True)]
    assert not Path(busy_path(str(paths[chosen]))).exists()


@pytest.mark.parametrize(
    ("fault", "status"),
    [(InfrastructureError("the disk is full"), 75), (EvaluationError("no task"), 1)],
    ids=["machine", "input"],
)
def test_a_fault_of_an_evaluation_ends_the_job(
    run: TinyRun,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    status: int,
) -> None:
    """With the status that it has without a process, and the same words."""

    def fail(*_arguments: object, **_more: object) -> None:
        raise fault

    monkeypatch.setattr("tsugiki.evaluate.batch.ShardEvaluator.evaluate", fail)
    serve("evaluate")
    done = job(words(run, "evaluate"))
    assert done.returncode == status
    assert done.stderr.startswith(f"tsugiki: {fault}\n  log: ")
    assert str(fault) in log_of(run, "evaluate")


def test_what_a_process_cannot_rank_is_ranked_here(
    run: TinyRun, serve: Serve, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is shown of a fault that was the process's own."""

    def fail(*_arguments: object, **_more: object) -> None:
        raise InfrastructureError("out of memory")

    monkeypatch.setattr("tsugiki.steps.evolution.write_ranked", fail)
    path = serve("rank")
    done = job(words(run, "rank"))
    assert done.returncode == 0
    assert done.stderr == ""
    assert "best so far" in done.stdout
    assert run.files.phase("ps").generation(0).outcomes.is_file()
    servers.end(path)


def test_a_process_that_cannot_track_stops_no_search(
    run: TinyRun, serve: Serve, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job does it itself."""

    def fail(*_arguments: object, **_more: object) -> None:
        raise InfrastructureError("out of memory")

    assert job(words(run, "rank")).returncode == 0
    monkeypatch.setattr("tsugiki.tracking.projection.track_generation", fail)
    path = serve("track")
    done = job(words(run, "track"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert run.files.phase("ps").generation(0).tracked.is_file()
    servers.end(path)


def test_a_process_that_holds_what_has_changed_does_nothing_and_ends(
    run: TinyRun, serve: Serve, servers: Servers
) -> None:
    """And the next one is started by the command itself."""
    path = serve("rank")
    assert dispatch(words(run, "rank")) == 0
    run.files.phase("ps").generation(0).outcomes.unlink()
    run.files.config.write_text(run.files.config.read_text() + "\n# another\n")
    assert dispatch(words(run, "rank")) is None
    servers.end(path)
    assert not path.exists()
    assert not run.files.phase("ps").generation(0).outcomes.exists()


def test_only_what_the_rules_write_is_dispatched(
    run: TinyRun, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else goes its usual way, defaults and help included."""
    serve("rank")
    right = words(run, "rank")
    for wrong in (
        [],
        right[2:],
        [*right, "--help"],
        right[:-2],
        [*right, "--rung", "0"],
        [*right[:-1], "one"],
        ["--log", "x", "report", str(run.files.config)],
        words(run, "rank", config=run.files.root / "other.yaml"),
    ):
        assert dispatch(wrong) is None
    monkeypatch.setenv(SWITCH, "no")
    assert dispatch(right) is None
    monkeypatch.delenv(SWITCH)
    assert dispatch(right) == 0


def test_without_a_folder_for_sockets_nothing_is_dispatched(
    run: TinyRun, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command goes its usual way, and says what is wrong if it needs one."""
    serve("rank")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    monkeypatch.setattr("tsugiki.workers.dispatch.LONGEST_SOCKET_PATH", 10_000)
    assert dispatch(words(run, "rank")) is None


def test_dispatching_imports_nothing_large(run: TinyRun, serve: Serve) -> None:
    """What it costs is most of what a short step costs."""
    serve("rank")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", MAIN, *words(run, "rank")],
        check=True,
        capture_output=True,
        text=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "tsugiki.workers.dispatch" in imported
    assert not imported & LARGE


def test_another_run_folder_or_job_has_another_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the path of the configuration is written; and the folder is nobody else's."""

    def path_of(config: str, job: int = 0) -> str:
        return socket_path(Request("evaluate", config, "ps", 0, job))

    first = path_of(str(tmp_path / "run/config.lock.yaml"))
    monkeypatch.chdir(tmp_path)
    here = path_of(str(tmp_path / "run/config.lock.yaml"))
    assert path_of("run/../run/config.lock.yaml") == here
    others = {path_of("run/config.lock.yaml", job=1), path_of("other/config.lock.yaml")}
    assert len({first, here, *others}) == 4
    assert Path(first).parent.stat().st_mode & 0o777 == 0o700


def test_a_long_temporary_folder_still_has_room_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unix limits a socket's path to 107 bytes."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("long" * 30)))
    path = socket_path(Request("rank", "run/config.lock.yaml", "ps", 0))
    assert len(path) <= 107
    assert Path(path).parent.is_dir()


def test_workers_are_allowed_until_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment carries it to jobs on other nodes."""
    monkeypatch.delenv(SWITCH, raising=False)
    assert workers_allowed()
    monkeypatch.setenv(SWITCH, "yes")
    assert workers_allowed()
    forbid_workers()
    assert not workers_allowed()
