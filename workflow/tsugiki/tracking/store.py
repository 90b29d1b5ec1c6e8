"""MLflow's store: where it is, how it is opened by one process, and given up when it does not answer.

The run's own store is an SQLite database, which appears whole; another may be a server.
"""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tsugiki import atomic
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import ConfigError, InfrastructureError, TsugikiError
from tsugiki.locked import locked
from tsugiki.quick_imports import quick_imports

PATIENCE = 60.0
"""Seconds to wait for another writer: SQLite answers it with "database is locked", and on a server two
would write a run twice."""
OF_EVERY_DATABASE = ("alembic_version", "workspaces")
"""Tables with rows that MLflow writes before a database can be used."""
WITH_MEANING = "%?#"
"""Characters that mean something in a URI."""
AGAIN = 1.0
"""Seconds after which a call is ended once more: a library may take the first time for a reason to retry."""
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SERVERS = ("http", "https", "databricks")
PROMPT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "PGCONNECT_TIMEOUT": "5",
}
"""What a store is asked with unless the environment says otherwise; seconds."""
MARGIN = 5
"""Seconds above those of the requests of a call, for what they do not count."""
LONGEST_REASON = 200
KIND = "mlflow.experimentKind"
"""The tag that makes MLflow's pages open at the table of runs, not at traces of a chat."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End the block when it takes longer; only in a process's main thread.

    Raises:
        InfrastructureError: it took longer.
    """

    def late(*_: object) -> None:
        raise InfrastructureError("no answer in time", expected=f"one within {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Limited:
    """An object each of whose methods takes no longer than some seconds."""

    inner: Any
    seconds: float

    def __getattr__(self, name: str) -> Any:
        return time_limit(self.seconds)(getattr(self.inner, name))


def sqlite_uri(database: Path) -> str:
    """MLflow's name for a database at an absolute path, whatever characters are in that."""
    if not set(WITH_MEANING) & set(str(database)):
        return f"sqlite:///{database}"
    return f"sqlite+pysqlite:///file:{quote(str(database))}?uri=true"


def sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite store; None for every other store."""
    if not uri.startswith("sqlite"):
        return None
    database = uri.partition(":///")[2].partition("?")[0]
    return Path(unquote(database[5:]) if database.startswith("file:") else database)


def artifact_location(folder: Path) -> str:
    """MLflow's name for a folder of artifacts at an absolute path."""
    return folder.as_uri() if set(WITH_MEANING) & set(str(folder)) else str(folder)


def make_if_absent(database: Path, make: Callable[[str], object]) -> None:
    """Make a database aside and rename it into place, unless there is one.

    MLflow makes hundreds of changes to a new one, and can neither use nor finish it when it was
    stopped in between. One that an earlier version left so holds no record: it is made again.
    `make` is given the database's URI.
    """
    if database.is_file() and not _is_half_made(database):
        return
    # A plain path, as the working folder too: MLflow puts that into SQL as it is.
    with tempfile.TemporaryDirectory() as plain, chdir(plain):
        made = Path(plain) / database.name
        make(sqlite_uri(made))
        content = made.read_bytes()
    for suffix in ("-journal", "-wal", "-shm"):  # SQLite would apply an old one to the new database
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    atomic.write_bytes(database, content)


def _is_half_made(database: Path) -> bool:
    """Whether MLflow has not finished to make a database: no table has rows but its own beginnings."""
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        return not any(
            connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()  # noqa: S608 - its own names
            for (name,) in tables
            if name not in OF_EVERY_DATABASE
        )


def own_database(files: RunFiles) -> Path:
    """The run's own store, used unless the configuration names another."""
    return files.root / "mlflow.db"


def own_artifacts(files: RunFiles) -> Path:
    """The folder of the own store's artifacts."""
    return files.root / "mlflow-artifacts"


def tracking_uri(files: RunFiles, config: RunConfig) -> str:
    """MLflow's tracking store.

    Raises:
        ConfigError: the configuration names a kind of store that MLflow does not write to.
    """
    uri = config.tracking.uri
    if uri is None:
        return sqlite_uri(own_database(files).resolve())
    scheme = uri.partition("://")[0].partition("+")[0]
    if uri == "databricks" or (scheme in DATABASES + SERVERS and "://" in uri):
        return uri
    raise ConfigError(
        "MLflow does not keep runs in plain files any more",
        where="tracking.uri",
        expected="a database or a server, such as sqlite:///mlflow.db or http://host:5000",
        got=uri,
        fix="use sqlite:///<path>/mlflow.db, or remove the key: the run then keeps its own store",
    )


@contextmanager
def open_store(files: RunFiles, config: RunConfig) -> Iterator[Any]:
    """Yield an `MlflowClient` on a store that is ready to be written to, by this process alone.

    A store that is not there or does not answer is given up in seconds: MLflow's own patience is
    minutes for each call. Variables such as MLFLOW_HTTP_REQUEST_TIMEOUT say otherwise.

    Raises:
        InfrastructureError: MLflow or its store fails, now or in the block, whatever the reason.
        ConfigError: the tracking store is of a kind that MLflow does not write to.
    """
    uri = tracking_uri(files, config)
    database = sqlite_path(uri)
    lock = files.root / ".mlflow.lock"
    if database is not None:
        lock = database.parent / f".{database.name}.lock"
    try:
        with ExitStack() as held:
            try:
                held.enter_context(locked(lock, timeout=PATIENCE))
            except TimeoutError as error:
                raise InfrastructureError(
                    "another process has been writing to MLflow's store for too long",
                    where=str(lock),
                    fix="wait for it, or end it",
                ) from error
            yield _open_server(uri) if database is None else _open_database(uri, database)
    except TsugikiError:
        raise
    except Exception as error:
        raise InfrastructureError(
            "MLflow's store cannot be written to",
            where="tracking.uri" if config.tracking.uri else str(own_database(files)),
            got=_reason(error),
            fix="see to the store; then `tsugiki track` with the configuration writes what is missing",
        ) from error


def _open_database(uri: str, database: Path) -> Any:
    client = _import_client()
    make_if_absent(database, lambda at: client(tracking_uri=at))
    # Readers such as the web page do not stop the writer then; it is also 3 times as fast.
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    with quick_imports():  # imports what the store needs
        return client(tracking_uri=uri)


def _open_server(uri: str) -> Any:
    for name, value in PROMPT.items():
        os.environ.setdefault(name, value)
    client = _import_client()
    from mlflow.environment_variables import (
        MLFLOW_HTTP_REQUEST_MAX_RETRIES,
        MLFLOW_HTTP_REQUEST_TIMEOUT,
    )

    tries = MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() + 1
    seconds = MLFLOW_HTTP_REQUEST_TIMEOUT.get() * tries + MARGIN
    with quick_imports(), time_limit(seconds):
        return Limited(client(tracking_uri=uri), seconds)


def _import_client() -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with quick_imports():
        from mlflow.tracking import MlflowClient

        return MlflowClient


def _reason(error: BaseException) -> str:
    """What was the matter at first, in a line: libraries wrap it several times."""
    while error.__cause__ or (error.__context__ and not error.__suppress_context__):
        error = error.__cause__ or error.__context__ or error
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first[:LONGEST_REASON]}"


def experiment_name(config: RunConfig) -> str:
    """What the run's experiment is called."""
    return config.tracking.experiment or config.name


def open_experiment(client: Any, files: RunFiles, config: RunConfig) -> str:
    """Find or make the run's experiment; return its id."""
    name = experiment_name(config)
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    database = sqlite_path(tracking_uri(files, config))
    location = None
    if database is not None:
        location = artifact_location(database.parent.resolve() / "mlflow-artifacts")
    tags = {KIND: "custom_model_development"}
    return str(client.create_experiment(name, artifact_location=location, tags=tags))


def store_has_moved(client: Any, files: RunFiles, config: RunConfig) -> bool:
    """Whether the own store remembers another folder than it lies in.

    MLflow keeps absolute paths of artifacts, which are wrong after a results folder was moved.
    """
    if config.tracking.uri is not None:
        return False
    found = client.get_experiment_by_name(experiment_name(config))
    here = artifact_location(own_artifacts(files).resolve())
    return found is not None and found.artifact_location != here


def retire_experiment(client: Any, config: RunConfig) -> None:
    """Make room for a new experiment of the same name; MLflow cannot change a place of artifacts.

    The database itself stays: MLflow may hold it open, and would go on with the removed file.
    """
    name = experiment_name(config)
    found = client.get_experiment_by_name(name)
    client.rename_experiment(found.experiment_id, f"{name} (moved, {found.experiment_id})")
    client.delete_experiment(found.experiment_id)
