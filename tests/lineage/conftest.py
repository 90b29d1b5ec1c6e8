"""A small finished run to read, and copies of it to change."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tsugiki.lineage.layout import RunFiles

from .synthetic import SyntheticRun, make_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRun:
    """A run with three generations of four, one failure, and everything after them. Read only."""
    run = make_run(tmp_path_factory.mktemp("finished"))
    run.write_all(failing=["001-02"])
    return run


@pytest.fixture
def copied(finished: SyntheticRun, tmp_path: Path) -> Iterator[RunFiles]:
    """The same run in a folder of the test's own."""
    shutil.copytree(finished.files.root, tmp_path / "synthetic")
    yield RunFiles(tmp_path / "synthetic")
    shutil.rmtree(tmp_path / "synthetic")


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, migrated once, since that takes seconds."""
    path = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def ready(copied: RunFiles, migrated: Path) -> RunFiles:
    """A copy of the finished run with an empty store."""
    shutil.copy(migrated, copied.root / "mlflow.db")
    return copied
