"""A small real run that several tests read."""

from __future__ import annotations

import pytest

from tests.workflow.small_run import settings
from tests.workflow.workspace import Workspace, shared_workspace


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A run that was never interrupted."""
    return shared_workspace(tmp_path_factory, "whole-run", settings())
