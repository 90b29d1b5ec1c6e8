"""A job's command, dispatched to the worker that waits for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from socket import SHUT_WR, socket
from threading import current_thread

import pytest

from tests.conftest import MakeRun
from tests.runs_for_tests import TinyRun
from tests.workers.calls import PATIENCE, socket_of
from tests.workers.conftest import Servers
from tsugiki.commands.all import main as commands
from tsugiki.errors import EvaluationError, InfrastructureError
from tsugiki.workers import start
from tsugiki.workers.dispatch import (
    OPTIONS,
    SWITCH,
    Request,
    allow_workers,
    busy_path,
    connect,
    dispatch,
    socket_path,
)

MAIN = "from tsugiki.cli import main; main()"
LARGE = {"click", "pydantic", "yaml", "pathlib", "tempfile", "subprocess", "numpy", "torch"}

Serve = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are used, as a workflow says where they are."""
    monkeypatch.setenv(SWITCH, "1")


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


def words(run: TinyRun, command: str) -> list[str]:
    """The command line of a rule, for the first generation."""
    values = {"--series": "ps", "--stage": "ps", "--generation": "0", "--job": "0"}
    options = [part for name in OPTIONS[command] for part in (name, values[name])]
    log = str(run.files.root / "logs" / f"{command}.log")
    return ["--log", log, command, str(run.files.config), *options]


def job(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """The command as a rule runs it: in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tsugiki.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
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
    run: TinyRun, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes; and the progress is told to people and to the log in either case."""
    phase = run.files.phase("ps")
    after = phase.generation(1)
    written = [phase.generation(0).outcomes, after.population, after.state]
    found = []
    monkeypatch.delenv(SWITCH)
    for by_worker in (False, True):
        if by_worker:
            monkeypatch.setenv(SWITCH, "1")
            serve("rank")
        for command in ("rank", "select"):
            done = job(words(run, command))
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
    ("busy", "dead", "chosen"),
    [({0}, None, 1), ({0, 1}, None, 0), ({1}, None, 0), ({0}, 1, 0)],
    ids=["own", "both", "other", "own, and the other was killed"],
)
def test_an_evaluation_goes_to_a_worker_that_is_free(
    run: TinyRun,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
    busy: set[int],
    dead: int | None,
    chosen: int,
) -> None:
    """Its own first, and if none is free; the shard stays the job's, and who works says so meanwhile."""
    config = str(run.files.config)
    paths = [Path(socket_path(Request("evaluate", config, "ps", 0, job))) for job in range(2)]
    seen = []

    def note(_evaluator: object, *_what: object, job: int, **_more: object) -> None:
        worker = next(path for path in paths if servers.threads.get(path) is current_thread())
        seen.append((job, paths.index(worker), Path(busy_path(str(worker))).exists()))

    monkeypatch.setattr("tsugiki.evaluate.batch.ShardEvaluator.evaluate", note)
    for number, path in enumerate(paths):
        if number == dead:
            path.touch()
        else:
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


def test_a_process_that_holds_what_has_changed_ends_and_the_next_one_does_the_work(
    run: TinyRun, serve: Serve, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same job, which starts it."""

    def launch(path: Path, listener: socket, *_: object) -> None:
        servers.serve(path, listener.dup())

    monkeypatch.setattr(start, "_launch", launch)
    path = serve("rank")
    first = servers.threads[path]
    assert dispatch(words(run, "rank")) == 0
    assert servers.threads[path] is first
    run.files.phase("ps").generation(0).outcomes.unlink()
    run.files.config.write_text(run.files.config.read_text() + "\n# another\n")
    assert dispatch(words(run, "rank")) == 0
    first.join(PATIENCE)
    assert not first.is_alive()
    assert servers.threads[path] is not first
    assert run.files.phase("ps").generation(0).outcomes.is_file()


@pytest.mark.parametrize(("command", "threads"), [("evaluate", 3), ("rank", 1)])
def test_a_job_starts_its_worker_with_the_threads_of_the_workflow(
    run: TinyRun, servers: Servers, monkeypatch: pytest.MonkeyPatch, command: str, threads: int
) -> None:
    """One thread where more may give other bits."""
    given = []

    def launch(path: Path, listener: socket, threads: int, _log: Path) -> None:
        given.append(threads)
        servers.serve(path, listener.dup())

    monkeypatch.setattr(start, "_launch", launch)
    allow_workers(3)
    assert dispatch(words(run, command)) == 0
    assert given == [threads]


def test_only_what_the_rules_write_is_dispatched(run: TinyRun, serve: Serve) -> None:
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
    ):
        assert dispatch(wrong) is None
    assert dispatch(right) == 0


def test_without_a_folder_for_sockets_nothing_is_dispatched(
    run: TinyRun, serve: Serve, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command goes its usual way, but for an evaluation, which says what is wrong."""
    serve("rank")
    (sockets / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(sockets / "file"))
    assert dispatch(words(run, "rank")) is None
    failed = job(words(run, "evaluate"))
    assert failed.returncode == 75
    assert "set TMPDIR" in failed.stderr


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


def test_without_the_workflows_word_nothing_is_dispatched(
    run: TinyRun, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster, and by hand: no worker is asked, and none is started."""
    serve("rank")
    monkeypatch.delenv(SWITCH)
    monkeypatch.delattr(start, "_launch")
    assert dispatch(words(run, "rank")) is None
    assert dispatch(words(run, "evaluate")) is None
