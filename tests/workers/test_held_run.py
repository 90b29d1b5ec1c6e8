"""What a worker holds in memory, against what is on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MakeRun
from tests.runs_for_tests import TinyRun, write_tasks
from tsugiki.config.load import read_config
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import ConfigError
from tsugiki.workers.server import HeldRun

Change = Callable[[TinyRun], object]


def append(path: Path) -> None:
    """Change a file's content, and put its times back."""
    before = path.stat()
    path.write_bytes(path.read_bytes() + b"\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def tasks_of(run: TinyRun) -> Path:
    """The folder of the run's tasks."""
    return Path(run.config.evaluation.task_paths[0])


@pytest.fixture
def run(make_run: MakeRun, tiny_tasks: Path, tmp_path: Path) -> TinyRun:
    """A run with tasks of its own, which may be changed."""
    made = make_run()
    folder = write_tasks(tmp_path / "own")
    text = made.files.config.read_text().replace(str(tiny_tasks), str(folder))
    made.files.config.write_text(text)
    return TinyRun(made.files, read_config(made.files.config))


@pytest.mark.parametrize(
    "change",
    [
        lambda run: append(run.files.config),
        lambda run: append(run.files.parents),
        lambda run: run.files.items.unlink(),
        lambda run: append(tasks_of(run) / "documents.json"),
        lambda run: (tasks_of(run) / "more.yaml").write_text("task: more"),
    ],
    ids=["configuration", "parents", "items", "task", "new task"],
)
def test_a_change_of_a_file_is_noticed(run: TinyRun, change: Change) -> None:
    """Even within the same instant, as its size is another."""
    held = HeldRun(run.files)
    assert held.is_current()
    change(run)
    assert not held.is_current()


def test_a_missing_configuration_is_a_fault(tmp_path: Path) -> None:
    """One that the caller sees."""
    with pytest.raises(ConfigError):
        HeldRun(RunFiles(tmp_path))
