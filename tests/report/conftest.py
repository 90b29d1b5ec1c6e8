"""Runs to report on."""

from pathlib import Path

import pytest

from tests.synthetic_runs import SyntheticRun, make_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRun:
    """A finished run with a failed candidate."""
    run = make_run(tmp_path_factory.mktemp("finished"), prompts=True)
    run.write_all(failing=["001-02"])
    return run


@pytest.fixture
def fresh(tmp_path: Path) -> SyntheticRun:
    """A run of which only the configuration and the locks are written."""
    return make_run(tmp_path, generations=1, population=2, items=20)
