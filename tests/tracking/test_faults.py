"""MLflow is a copy: what its store does, or has become, neither stops a search nor loses a record."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tests.synthetic_runs import SyntheticRun
from tests.tracking.test_projection import contents, runs
from tests.tracking.test_store import with_uri
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import InfrastructureError
from tsugiki.locked import locked
from tsugiki.tracking import projection as mlflow_projection
from tsugiki.tracking import store as tracking_store
from tsugiki.tracking.marks import pending
from tsugiki.tracking.projection import catch_up, rebuild, track_generation
from tsugiki.tracking.store import make_if_absent, tracking_uri

Answer = Callable[[BaseHTTPRequestHandler], bytes | None]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """As patient with a server as a test can be."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("tsugiki.tracking.store.MARGIN", 1)


def hang(_: BaseHTTPRequestHandler) -> None:
    """Never answers."""
    threading.Event().wait()


def drip(request: BaseHTTPRequestHandler) -> None:
    """Answers a byte at a time, for ever: no single reading takes long."""
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b" ")
        request.wfile.flush()
        threading.Event().wait(0.1)


def half_way(request: BaseHTTPRequestHandler) -> bytes | None:
    """Knows the experiment, and fails when it is to write something."""
    if "get-by-name" in request.path:
        return json.dumps({"experiment": {"experiment_id": "7", "name": "synthetic"}}).encode()
    return b"{}" if "search" in request.path else None


def fail(_: BaseHTTPRequestHandler) -> None:
    """Fails at once."""


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """The address of a server on this machine; an answer of None is status 500."""

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            content = answer(self)
            self.send_response(500 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        do_GET = do_POST = respond  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.daemon_threads = True
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{serving.server_port}"
    finally:
        serving.shutdown()
        serving.socket.close()


@pytest.mark.parametrize("answer", [None, hang, drip, fail, half_way])
def test_a_server_that_fails_is_told_later(
    finished: SyntheticRun, ready: RunFiles, answer: Answer | None
) -> None:
    """Refused, silent, slow for ever, status 500, failing half-way: one line, and nothing raised."""
    said: list[str] = []
    with server(answer or fail) as address:
        uri = "http://127.0.0.1:9" if answer is None else address
        for generation in (0, 1):
            track_generation(
                ready, "ps", generation, with_uri(finished.config, uri), log=said.append
            )
    (line,) = said
    assert line.startswith("MLflow lags behind, the search goes on: ")
    assert "\n" not in line
    assert pending(ready, finished.config) == [("ps", 0), ("ps", 1)]

    track_generation(ready, "ps", 2, finished.config, log=said.append)
    assert said[1:] == ["MLflow has caught up: 3 generations"]
    assert pending(ready, finished.config) == []
    assert len(runs(ready, finished.config, role="candidate", series="ps")) == 12
    marks = [ready.phase("ps").generation(number).tracked.read_text() for number in range(3)]
    assert all(json.loads(mark)["mlflow"] is True for mark in marks)


def test_catching_up_logs_all_that_is_missing_and_says_if_it_cannot(
    finished: SyntheticRun, ready: RunFiles
) -> None:
    """Generations without a mark, too; and a second time there is nothing to log."""
    with pytest.raises(InfrastructureError, match="Connection refused"):
        catch_up(ready, with_uri(finished.config, "http://127.0.0.1:9"))
    catch_up(ready, finished.config)
    before = contents(ready, finished.config)
    assert len(runs(ready, finished.config, role="series")) == 4
    catch_up(ready, finished.config)
    assert contents(ready, finished.config) == before


def test_a_writer_that_does_not_end_is_not_waited_for(
    finished: SyntheticRun, ready: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a rebuilding that was stopped in another terminal."""
    monkeypatch.setattr(tracking_store, "PATIENCE", 0)
    said: list[str] = []
    with locked(ready.root / ".mlflow.db.lock"):
        track_generation(ready, "ps", 0, finished.config, log=said.append)
    assert "another process" in said[0]
    assert pending(ready, finished.config) == [("ps", 0)]


def test_a_rebuilding_that_was_cut_off_is_finished_by_the_next_tracking(
    finished: SyntheticRun, ready: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was removed from MLflow is marked as missing before it is removed."""
    catch_up(ready, finished.config)
    before = contents(ready, finished.config)
    log = mlflow_projection._Projection.log

    def cut_off(self: Any, phase: str, entry: Any, *others: Any) -> None:
        if entry.number == 1:
            raise OSError("No space left on device")
        log(self, phase, entry, *others)

    with monkeypatch.context() as patch:
        patch.setattr(mlflow_projection._Projection, "log", cut_off)
        with pytest.raises(InfrastructureError, match="No space left"):
            rebuild(ready, finished.config)
    track_generation(ready, "test", 0, finished.config, log=lambda _: None)
    assert contents(ready, finished.config) == before


def changed(config: RunConfig, **changes: Any) -> RunConfig:
    """The configuration with another seed and another budget."""
    (stage,) = config.stages
    budget = stage.budget.model_copy(update={"generations": changes["generations"]})
    stages = [stage.model_copy(update={"budget": budget})]
    return config.model_copy(update={"seed": changes["seed"], "stages": stages})


def test_a_larger_budget_and_another_seed_are_tracked(
    finished: SyntheticRun, ready: RunFiles
) -> None:
    """The phase's run says what is so now, also in a store that has the old values as parameters."""
    track_generation(ready, "ps", 0, finished.config, log=pytest.fail)
    (phase,) = runs(ready, finished.config, role="series", series="ps")
    client = MlflowClient(tracking_uri=tracking_uri(ready, finished.config))
    for name, value in {"generations": "3", "seed": str(finished.config.seed)}.items():
        client.log_param(phase.info.run_id, name, value)  # as earlier versions did
    later = changed(finished.config, generations=5, seed=finished.config.seed + 1)
    track_generation(ready, "ps", 1, later, log=pytest.fail)
    (phase,) = runs(ready, finished.config, role="series", series="ps")
    assert phase.data.tags["tsugiki.generations"] == "5"
    assert phase.data.tags["tsugiki.seed"] == str(finished.config.seed + 1)
    assert len(runs(ready, finished.config, role="candidate", series="ps")) == 8


def test_a_candidates_run_that_was_cut_off_is_made_anew(
    finished: SyntheticRun, ready: RunFiles
) -> None:
    """Even if what it has already cannot be logged again with another value."""
    track_generation(ready, "ps", 0, finished.config, log=pytest.fail)
    before = contents(ready, finished.config)
    (found,) = runs(ready, finished.config, candidate="000-00", series="ps")
    client = MlflowClient(tracking_uri=tracking_uri(ready, finished.config))
    client.delete_run(found.info.run_id)
    kept = {key: value for key, value in found.data.tags.items() if key.startswith("tsugiki")}
    parent = found.data.tags["mlflow.parentRunId"]
    half = client.create_run(
        found.info.experiment_id, tags={**kept, "mlflow.parentRunId": parent}, run_name="000-00"
    )
    client.log_param(half.info.run_id, "method", "another")
    track_generation(ready, "ps", 0, finished.config, log=pytest.fail)
    assert contents(ready, finished.config) == before


def test_a_database_that_was_left_half_made_is_made_again(
    finished: SyntheticRun, ready: RunFiles
) -> None:
    """A kill or a full disk in the middle of MLflow's changes to it; it holds no record yet."""
    path = ready.root / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("DELETE FROM experiments")
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
        database.execute("CREATE TABLE _alembic_tmp_metrics (key VARCHAR(250))")
        database.commit()
        leftover = path.with_name("mlflow.db-wal").read_bytes()
    path.with_name("mlflow.db-wal").write_bytes(leftover)
    track_generation(ready, "ps", 0, finished.config, log=pytest.fail)
    assert len(runs(ready, finished.config, role="candidate", series="ps")) == 4


def test_a_database_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """It is made in another folder; what fails there leaves nothing where it was to be."""

    def make(uri: str, *, fails: bool) -> None:
        path = Path(uri.removeprefix("sqlite:///"))
        assert path.parent == Path.cwd() != tmp_path
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE runs (id INT)")
            if fails:
                raise OSError("No space left on device")

    database = tmp_path / "mlflow.db"
    with pytest.raises(OSError, match="No space left"):
        make_if_absent(database, lambda uri: make(uri, fails=True))
    assert list(tmp_path.iterdir()) == []
    make_if_absent(database, lambda uri: make(uri, fails=False))
    assert database.is_file()


def test_a_database_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    """A record of MLflow's, or of another program whose database was named."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE notes (text)")
        database.execute("INSERT INTO notes VALUES ('mine')")
        database.commit()
    before = path.read_bytes()
    make_if_absent(path, lambda _: pytest.fail("made again"))
    assert path.read_bytes() == before


def test_any_folder_can_hold_the_database(
    finished: SyntheticRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quotes of both kinds in the working folder's path, and what means something in a URI."""
    working = tmp_path / 'it\'s "here"'
    files = RunFiles(working / "res#1?x%20%" / "synthetic")
    shutil.copytree(finished.files.root, files.root)
    monkeypatch.chdir(working)
    for generation in (0, 1):
        track_generation(files, "ps", generation, finished.config, log=pytest.fail)
    assert len(runs(files, finished.config, role="candidate", series="ps")) == 8
    assert {path.name for path in tmp_path.iterdir()} == {working.name}
    assert {path.name for path in working.iterdir()} == {"res#1?x%20%"}
    with closing(sqlite3.connect(files.root / "mlflow.db")) as database:
        (count,) = database.execute("SELECT count(*) FROM runs").fetchone()
    assert count == 9
    copies = list((files.root / "mlflow-artifacts").rglob("recipe.json"))
    assert len(copies) == 8
