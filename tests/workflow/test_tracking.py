"""A store that MLflow cannot write to, and one that it can again."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.workflow.small_run import settings
from tests.workflow.workspace import Workspace, make_workspace


def marks(workspace: Workspace) -> list[object]:
    """What the marks of all generations, and of the result, say of MLflow."""
    paths = workspace.files.root.rglob("tracked.json")
    return [json.loads(path.read_text())["mlflow"] for path in paths]


def test_a_store_that_fails_stops_nothing_and_is_caught_up_by_the_next_start(
    tmp_path: Path,
) -> None:
    """One line when it begins and one at the end; and the start after that has nothing to do."""
    store = tmp_path / "store" / "mlflow.db"
    store.parent.mkdir()
    store.write_text("This is no database, and cannot be made one.")
    config = settings() | {"tracking": {"uri": f"sqlite:///{store}"}}
    config["stages"][0]["budget"]["generations"] = 2
    workspace = make_workspace(tmp_path / "run", config)

    output = workspace.run()
    assert workspace.files.report.is_file()
    assert marks(workspace) == ["pending"] * 6
    assert output.count("the search goes on") == 1
    (last,) = [line for line in output.splitlines() if line.startswith("MLflow lags behind by")]
    assert last.startswith("MLflow lags behind by 5 generations and the result: ")
    assert f"tsugiki track {workspace.root}/tiny.yaml" in last

    store.unlink()
    output = workspace.run()
    assert marks(workspace) == [True] * 6
    assert "lags behind" not in output
    with closing(sqlite3.connect(store)) as database:
        (phase,) = database.execute(
            "select count(*) from tags where key = 'tsugiki.role' and value = 'series'"
        ).fetchone()
    assert phase == 4
    assert "Nothing to be done" in workspace.run("--quiet", "host", "--dry-run")
    assert not list(workspace.files.root.glob(".caught-up*"))
