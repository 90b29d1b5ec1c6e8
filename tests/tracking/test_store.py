"""Which stores are written to: decided without importing MLflow."""

from pathlib import Path

import pytest

from tests.synthetic_runs import SyntheticRun
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import ConfigError
from tsugiki.tracking.store import tracking_uri


def with_uri(config: RunConfig, uri: str | None) -> RunConfig:
    """The configuration with another tracking store."""
    return config.model_copy(update={"tracking": config.tracking.model_copy(update={"uri": uri})})


def test_a_run_keeps_its_own_store_by_default(finished: SyntheticRun, tmp_path: Path) -> None:
    """SQLite, in the run's folder."""
    files = RunFiles(tmp_path / "run")
    uri = tracking_uri(files, with_uri(finished.config, None))
    assert uri == f"sqlite:///{tmp_path}/run/mlflow.db"


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///mlflow.db",
        "postgresql+psycopg2://user@host/db",
        "http://localhost:5000",
        "https://mlflow.example",
        "databricks",
        "databricks://profile",
    ],
)
def test_databases_and_servers_are_taken_as_they_are(finished: SyntheticRun, uri: str) -> None:
    """MLflow knows what to do with them."""
    assert tracking_uri(finished.files, with_uri(finished.config, uri)) == uri


@pytest.mark.parametrize("uri", ["file:./mlruns", "file:///tmp/mlruns", "./mlruns", "mlruns"])
def test_a_folder_as_store_is_refused_and_sqlite_named(finished: SyntheticRun, uri: str) -> None:
    """MLflow itself refuses such stores since 3.13, late and with a traceback."""
    with pytest.raises(ConfigError, match="sqlite:///") as caught:
        tracking_uri(finished.files, with_uri(finished.config, uri))
    assert caught.value.where == "tracking.uri"
    assert caught.value.got == uri
