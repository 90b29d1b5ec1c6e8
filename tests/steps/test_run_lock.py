"""One workflow at a time per run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tsugiki.errors import LineageError
from tsugiki.steps.workflow import hold_run_lock

HOLD = """
import sys, time
from pathlib import Path
from tsugiki.steps.workflow import hold_run_lock
hold_run_lock(Path(sys.argv[1]))
hold_run_lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_a_second_workflow_is_told_which_process_is_at_work(tmp_path: Path) -> None:
    """As often as it asks; the lock is free again when that one is killed."""
    root = tmp_path / "results" / "mine"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for _ in range(2):
            with pytest.raises(LineageError, match=rf"process {other.pid} on "):
                hold_run_lock(root)
        other.kill()
    hold_run_lock(root)


def test_where_files_cannot_be_locked_the_workflow_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some shared file systems have no locks; outputs appear whole there, too."""

    def missing(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", missing)
    hold_run_lock(tmp_path)
