"""MLflow's SQLite databases: where they are, how one appears whole, and that it has one writer."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from tsugiki import atomic
from tsugiki.errors import InfrastructureError
from tsugiki.locked import locked

PATIENCE = 60.0
"""Seconds to wait for another writer."""
OF_EVERY_DATABASE = ("alembic_version", "workspaces")
"""Tables with rows that MLflow writes before a database can be used."""
WITH_MEANING = "%?#"
"""Characters that mean something in a URI."""


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

    Args:
        database: Its path.
        make: Makes a database, given its URI.
    """
    if database.is_file() and not _is_half_made(database):
        return
    # A plain path, as the working folder too: MLflow puts that into SQL as it is.
    with tempfile.TemporaryDirectory() as plain, contextlib.chdir(plain):
        made = Path(plain) / database.name
        make(sqlite_uri(made))
        content = made.read_bytes()
    for suffix in ("-journal", "-wal", "-shm"):  # SQLite would apply an old one to the new database
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    atomic.write_bytes(database, content)


def _is_half_made(database: Path) -> bool:
    """Whether MLflow has not finished to make a database: no table has rows but its own beginnings."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        return not any(
            connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()  # noqa: S608 - its own names
            for (name,) in tables
            if name not in OF_EVERY_DATABASE
        )


@contextlib.contextmanager
def one_writer(lock: Path) -> Iterator[None]:
    """Hold a store for one process.

    SQLite answers a second writer with "database is locked", and on a server two would write a run
    twice.

    Args:
        lock: The file by which writers know of each other.

    Raises:
        InfrastructureError: another process has held it for too long.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(lock, timeout=PATIENCE))
        except TimeoutError as error:
            raise InfrastructureError(
                "another process has been writing to MLflow's store for too long",
                where=str(lock),
                fix="wait for it, or end it",
            ) from error
        yield
