"""The environment that this Python belongs to."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def program_path() -> str:
    """PATH by which shell commands find the `tsugiki` of this Python first."""
    here = str(Path(sys.executable).parent)
    path = os.environ.get("PATH") or os.defpath
    return path if path.split(os.pathsep)[0] == here else os.pathsep.join([here, path])


def use_this_environment() -> None:
    """Let the rules' shell commands find the `tsugiki` that belongs to this Python."""
    os.environ["PATH"] = program_path()
