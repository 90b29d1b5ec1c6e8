"""Where MLflow's records go, and how the store is opened by one writer at a time."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tsugiki.config.run import RunConfig
from tsugiki.errors import ConfigError
from tsugiki.lineage.layout import RunFiles
from tsugiki.quick_imports import quick_imports

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SERVERS = ("http", "https", "databricks")
KIND = "mlflow.experimentKind"
"""The tag that makes MLflow's pages open at the table of runs, not at traces of a chat."""


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
        return f"sqlite:///{own_database(files).resolve()}"
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
def one_writer(files: RunFiles, config: RunConfig) -> Iterator[None]:
    """Hold the store for one process.

    SQLite answers a second writer with "database is locked", and two processes that create the
    same database ruin it. A server or another database looks after its own writers.
    """
    database = _sqlite_path(tracking_uri(files, config))
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with (database.parent / f".{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def open_client(files: RunFiles, config: RunConfig) -> Any:
    """An `MlflowClient` on a store that is ready to be written to.

    A new SQLite store is created and migrated here, so this must happen inside `one_writer`.
    """
    uri = tracking_uri(files, config)
    database = _sqlite_path(uri)
    if database is not None:
        # Readers such as the web page do not stop the writer then; it is also 3 times as fast.
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with quick_imports():
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=uri)  # imports what the store needs


def open_experiment(client: Any, files: RunFiles, config: RunConfig) -> str:
    """Find or make the run's experiment; return its id."""
    name = config.tracking.experiment or config.name
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    database = _sqlite_path(tracking_uri(files, config))
    location = None if database is None else str(database.parent.resolve() / "mlflow-artifacts")
    return str(
        client.create_experiment(
            name, artifact_location=location, tags={KIND: "custom_model_development"}
        )
    )


def store_has_moved(client: Any, files: RunFiles, config: RunConfig) -> bool:
    """Whether the own store remembers another folder than it lies in.

    MLflow keeps absolute paths of artifacts, which are wrong after a results folder was moved.
    """
    if config.tracking.uri is not None:
        return False
    found = client.get_experiment_by_name(config.tracking.experiment or config.name)
    return found is not None and found.artifact_location != str(own_artifacts(files).resolve())


def retire_experiment(client: Any, config: RunConfig) -> None:
    """Make room for a new experiment of the same name; MLflow cannot change a place of artifacts.

    The database itself stays: MLflow may hold it open, and would go on with the removed file.
    """
    name = config.tracking.experiment or config.name
    found = client.get_experiment_by_name(name)
    client.rename_experiment(found.experiment_id, f"{name} (moved, {found.experiment_id})")
    client.delete_experiment(found.experiment_id)


def _sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite store; None for every other store."""
    if not uri.startswith("sqlite"):
        return None
    return Path(uri.partition(":///")[2].partition("?")[0])
