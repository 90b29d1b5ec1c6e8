"""Locks between processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tsugiki.locked import locked

HOLD = """
import sys, time
from pathlib import Path
from tsugiki.locked import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_process_at_a_time_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    """The system frees the lock of a process that is killed; the file stays."""
    path = tmp_path / "new" / ".lock"
    path.parent.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TimeoutError), locked(path, timeout=0):
            pass
        other.kill()
    with locked(path, timeout=10):
        assert path.is_file()


def test_threads_of_one_process_take_turns(tmp_path: Path) -> None:
    """A lock is one holder's, not one process's."""
    path = tmp_path / "deeper" / ".lock"
    order: list[str] = []

    def other() -> None:
        with locked(path):
            order.append("other")

    with locked(path):
        thread = threading.Thread(target=other)
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "other"]
