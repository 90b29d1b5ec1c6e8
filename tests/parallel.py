"""How the tests are shared out among worker processes: what stays together, and the longest first.

A worker takes a group at a time, so what is expensive is made once: the cluster, the finished run,
whatever the tests of a file share. Long groups come first; otherwise one worker would be left with
one of them when the others have nothing more to do.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

LONG = (
    "tests/slurm",
    "tests/workflow",
)
"""Folders whose tests stay together."""


def group_of(test: str) -> str:
    """The group of a test, by its id: its folder if that is a long one, else its file."""
    file = test.partition("::")[0]
    return next((folder for folder in LONG if file.startswith(f"{folder}/")), file)


def place_of(test: str) -> int:
    """Where the test's group comes."""
    group = group_of(test)
    return LONG.index(group) if group in LONG else len(LONG)


class ByGroup(LoadScopeScheduling):
    """Gives a worker all tests of a group, and keeps the groups in order."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
