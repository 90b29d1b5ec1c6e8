"""An environment of its own for mergekit, the peer that benchmarks compare with."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = ("mergekit==0.1.5", "torch==2.13.0")


def mergekit_python(folder: Path) -> Path:
    """The interpreter of an environment with mergekit, made in `folder` unless it is there."""
    python = folder / "bin" / "python"
    if not (folder / "installed").is_file():
        print(f"installing {' '.join(REQUIREMENTS)} into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
        (folder / "installed").touch()
    return python
