"""A cluster, and the run that those on it are compared with."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, missing_programs, running_cluster
from tests.slurm.small_run import WAITING_TASK, small
from tests.workflow.workspace import Workspace, shared_workspace


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running SLURM."""
    if missing := missing_programs():
        reason = f"no SLURM here ({missing[0]} is missing): run tests/slurm/install.sh as root"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with running_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="session")
def local_run(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same run on one machine, never interrupted."""
    return shared_workspace(tmp_path_factory, "local-run", small(), WAITING_TASK)
