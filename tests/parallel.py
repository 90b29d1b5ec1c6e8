"""How the tests are shared out among worker processes: what stays together, the longest first, and what is made once.

A worker takes a group at a time, so what the tests of a group share is made once. Long groups come
first; otherwise one worker would be left with one of them when the others have nothing more to do.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tsugiki.locked import locked

LONG = (
    ("tests/slurm/test_faults.py", "tests/slurm/test_profile.py"),
    ("tests/workflow/test_changes.py", "tests/workflow/test_whole_run.py"),
    ("tests/workflow/test_stages.py", "tests/evaluate/test_shards.py"),
    ("tests/workflow/test_interruption.py", "tests/steps/test_run_lock.py"),
    ("tests/slurm/test_plain_run.py", "tests/slurm/test_watch.py"),
    ("tests/workflow/test_rungs.py", "tests/slurm/test_executor.py"),
    ("tests/vllm/test_real_vllm.py",),
    ("tests/recorded/test_recorded_run.py",),
    ("tests/workflow/test_starts.py",),
    ("tests/workflow/test_tracking.py",),
    ("tests/workflow/test_niches.py",),
    ("tests/workflow/test_rivals.py",),
    ("tests/workflow/test_smoke.py",),
    ("tests/workflow/test_pictures.py",),
    ("tests/tracking/test_server.py",),
)
"""Files whose tests stay together, in this order.

A worker is given its next group when two tests are left, so each of these ends with short ones.
"""


def group_of(test: str) -> str:
    """The group of a test, by its id: its file, or the first of the files it stays together with."""
    file = test.partition("::")[0]
    return next((files[0] for files in LONG if file in files), file)


def place_of(test: str) -> tuple[int, int]:
    """Where the test's group comes, and its file in the group."""
    file = test.partition("::")[0]
    for place, files in enumerate(LONG):
        if file in files:
            return place, files.index(file)
    return len(LONG), 0


class ByGroup(LoadScopeScheduling):
    """Gives a worker all tests of a group, and keeps the groups in order."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that all processes of the tests share: the first one that needs it makes it.

    Tests must not change it.

    Args:
        factory: Of temporary folders.
        name: The folder's.
        make: Makes it; its parent is there.
    """
    place = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    folder, made = place / name, place / f"{name}.made"
    with locked(place / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one that failed
            make(folder)
            made.touch()
    return folder
