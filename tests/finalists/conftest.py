"""A small finished run."""

import pytest

from tests.synthetic_runs import SyntheticRun, make_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRun:
    """A run with a failed candidate in its stage. Read only."""
    run = make_run(tmp_path_factory.mktemp("finished"))
    run.write_all(failing=["001-02"])
    return run
