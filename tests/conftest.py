"""Settings of all tests, and small real runs for those that need one."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

# Before any library reads them: no test reaches the network, and each uses one core.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["TQDM_DISABLE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
# by default a Hub that takes ten seconds for an answer is given up, be it one of the tests' own
os.environ["HF_HUB_ETAG_TIMEOUT"] = os.environ["HF_HUB_DOWNLOAD_TIMEOUT"] = "600"

from hypothesis import HealthCheck, settings
from mlflow.tracking import MlflowClient

from tests import synthetic_runs
from tests.merge.models_for_tests import save_trio
from tests.parallel import ByGroup, made_once, place_of
from tests.runs_for_tests import (
    TinyRun,
    raw_config,
    start_run,
    write_parents,
    write_tasks,
)
from tests.synthetic_runs import SyntheticRun
from tsugiki.contracts.layout import RunFiles

MakeRun = Callable[..., TinyRun]

# by default an example that takes 0.2 s fails its test, which on a busy machine any may
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have no search for garbage go through what is imported for all tests, as in `quick_imports`."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByGroup:
    """Share the tests out by group, in their order."""
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long groups first."""
    items.sort(key=lambda item: place_of(item.nodeid))


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base and two parents. No test writes into it."""
    return write_parents(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def tiny_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two lm-eval tasks. No test writes into it."""
    return write_tasks(tmp_path_factory.mktemp("tasks") / "tasks")


@pytest.fixture
def tiny_config(tiny_models: Path, tiny_tasks: Path, tmp_path: Path) -> dict[str, Any]:
    """The configuration of a small run, as read from YAML."""
    return raw_config(tiny_models, tiny_tasks, tmp_path / "results")


@pytest.fixture
def make_run(tiny_models: Path, tiny_tasks: Path, tmp_path: Path) -> MakeRun:
    """Makes a small run, ready for its first generation; arguments replace sections."""

    def make(**changes: Any) -> TinyRun:
        return start_run(raw_config(tiny_models, tiny_tasks, tmp_path / "results", **changes))

    return make


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRun:
    """A run with three generations of four, one failure, and everything after them. Read only."""
    run = synthetic_runs.make_run(tmp_path_factory.mktemp("finished"))
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

    def migrate(folder: Path) -> None:
        folder.mkdir()
        MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db").search_experiments()

    return made_once(tmp_path_factory, "migrated", migrate) / "mlflow.db"


@pytest.fixture
def ready(copied: RunFiles, migrated: Path) -> RunFiles:
    """A copy of the finished run with an empty store."""
    shutil.copy(migrated, copied.root / "mlflow.db")
    return copied


@pytest.fixture(scope="session")
def trio(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a base and two models fine-tuned from it, llama, float32. Read only."""
    return save_trio(tmp_path_factory.mktemp("trio"))


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of three such models with output heads tied to the embeddings. Read only."""
    return save_trio(tmp_path_factory.mktemp("tied"), tie_word_embeddings=True)
