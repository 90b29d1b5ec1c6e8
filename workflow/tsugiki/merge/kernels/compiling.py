"""Compiling loops to machine code, and the folder that `python -m tsugiki.merge.kernels` fills with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
from llvmlite import binding

from tsugiki.canonical import digest

F = TypeVar("F", bound=Callable[..., Any])

SOURCES = Path(__file__).parent


def store(sources: Path = SOURCES) -> Path | None:
    """The folder for the machine code of these very sources on this processor; None without a home.

    It is in the folder that numba's own `NUMBA_CACHE_DIR` names, or in the user's cache. numba looks at
    the place and time of the file that a function is in, but not at the files whose functions it calls:
    all of them are in the folder's name.
    """
    state = [numba.__version__, llvmlite.__version__]
    state += [binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()]
    for path in sorted(sources.glob("*.py")):
        state += [str(path), str(path.stat().st_mtime_ns), path.read_text(encoding="utf-8")]
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tsugiki"
    except RuntimeError:
        return None
    return Path(numba.config.CACHE_DIR or cache) / f"kernels-{digest(state)[:12]}"


def _filled() -> Path | None:
    folder = store()
    return folder if folder is not None and folder.is_dir() else None


machine_code = _filled()
"""Where machine code is read from. If absent, each process compiles what it calls, and writes nothing:
numba's files have no lock."""


def compiled(function: F) -> F:
    """Compile a function when it is first called; the interpreter's lock is released meanwhile."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(machine_code or "")  # numba reads it here, and for nothing else
    try:
        cache = machine_code is not None
        made: F = numba.njit(nogil=True, cache=cache, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = before
    return made
