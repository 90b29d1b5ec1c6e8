"""A real `mlflow server` on PostgreSQL: what it is told, and what it is told once it is back."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from mlflow.tracking import MlflowClient

from tests.synthetic_runs import SyntheticRun
from tests.tracking.test_projection import contents, runs
from tests.tracking.test_result import make_result
from tests.tracking.test_store import with_uri
from tsugiki.contracts.layout import RunFiles
from tsugiki.tracking.marks import pending, untold
from tsugiki.tracking.projection import track_generation, track_result

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
MISSING = not PROGRAMS or find_spec("psycopg2") is None
UNPRIVILEGED = "nobody" if os.getuid() == 0 else None
"""Who PostgreSQL runs as: it refuses root."""


@pytest.fixture(autouse=True)
def _there() -> None:
    if MISSING and os.environ.get("CI") != "true":
        pytest.skip("needs PostgreSQL (tests/tracking/install.sh) and psycopg2")
    assert not MISSING, "tests/tracking/install.sh and the lock file install what is missing"


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty database, on a socket in a folder of its own."""
    folder = Path("/tmp") / f"tsugiki-pg-{os.getpid()}"  # short: Unix limits paths of sockets
    folder.mkdir(mode=0o700)
    log = tmp_path_factory.mktemp("postgres") / "log"
    data, programs = folder / "data", PROGRAMS[-1]
    try:
        if UNPRIVILEGED:
            shutil.chown(folder, UNPRIVILEGED)
        start = {"user": UNPRIVILEGED, "cwd": folder, "env": {"PATH": "/usr/bin:/bin"}}
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "tsugiki", "-A", "trust", "--no-sync"],
            check=True, capture_output=True, **start,
        )  # fmt: skip
        with log.open("wb") as output:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", folder, "-h", "", "-F"],
                stdout=output, stderr=output, **start,
            )  # fmt: skip
        try:
            ready = [programs / "pg_isready", "-q", "-h", folder]
            _wait(lambda: subprocess.run(ready, check=False).returncode == 0, server)
            yield f"postgresql://tsugiki@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait()
    finally:
        shutil.rmtree(folder)


@contextmanager
def mlflow_server(database: str, port: int, folder: Path) -> Iterator[str]:
    """The address of a server with that database, which takes files, too."""
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--workers", "1",
        "--artifacts-destination", str(folder), "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes that the test waits for
    }
    with (folder / "log").open("ab") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(lambda: _answers(f"{address}/health"), server)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=1):
            return True
    except (URLError, OSError):
        return False


def _wait(ready: object, server: subprocess.Popen[bytes]) -> None:
    assert callable(ready)
    while not ready():
        assert server.poll() is None, f"{server.args} ended"
        time.sleep(0.2)


@pytest.mark.slow
def test_a_server_on_postgresql_is_told_all_though_it_was_down(
    finished: SyntheticRun, ready: RunFiles, database: str, tmp_path: Path
) -> None:
    """Before, while it is down, and after: the same records as in a store that never failed."""
    make_result(finished, ready)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "files"
    folder.mkdir()
    config = with_uri(finished.config, f"http://127.0.0.1:{port}")
    said: list[str] = []
    with mlflow_server(database, port, folder):
        track_generation(ready, "ps", 0, config, log=pytest.fail)
    for generation in (1, 2):
        track_generation(ready, "ps", generation, config, log=said.append)
    track_generation(ready, "test", 0, config, log=said.append)
    track_result(ready, config, log=said.append)
    assert [line.partition(":")[0] for line in said] == ["MLflow lags behind, the search goes on"]
    assert untold(ready, len(pending(ready, config))) == "3 generations and the result"

    with mlflow_server(database, port, folder) as address:
        track_result(ready, config, log=said.append)
        assert said[1:] == ["MLflow has caught up: 3 generations and the result"]
        assert len(runs(ready, config, role="candidate", series="ps")) == 12
        (winner,) = runs(ready, config, series="test", **{"origin.kind": "evolved"})
        client = MlflowClient(tracking_uri=address, registry_uri=address)
        version = client.get_model_version_by_alias(config.name, "best")
        assert version.run_id == winner.info.run_id
        (parent,) = runs(ready, config, role="series", series="ps")
        assert "report.html" in {one.path for one in client.list_artifacts(parent.info.run_id)}
        on_server = contents(ready, config)
    for phase, number in (("ps", 0), ("ps", 1), ("ps", 2), ("test", 0)):
        track_generation(ready, phase, number, finished.config, log=pytest.fail)
    track_result(ready, finished.config, log=pytest.fail)
    assert _without_ids(on_server) == _without_ids(contents(ready, finished.config))


def _without_ids(found: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Without the ids that a store draws at random, and the ways it names them."""
    return [
        tuple(
            {key: value for key, value in part.items() if key != "tsugiki.model"}
            if isinstance(part, dict)
            else part
            for part in one
        )
        for one in found
    ]
