"""Compiling a loop when it is first called, and keeping the machine code on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])

_FOLDER = Path(__file__).parent


def _store() -> str:
    """Where machine code of these very sources is kept.

    numba by itself notices a change of the file that a function is in, but not of the files whose
    functions it calls, and would go on with the old code.
    """
    state = hashlib.sha256()
    for path in sorted(_FOLDER.glob("*.py")):
        state.update(path.read_bytes())
    return f"kernels-{state.hexdigest()[:12]}"


_STORE = _store()


def compiled(function: F) -> F:
    """Compile a function when it is first called; the interpreter's lock is released meanwhile."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(Path(before or _FOLDER / "__pycache__") / _STORE)
    try:
        return _compiled(function, keep=True)
    except RuntimeError:  # no folder can be written, as in a container without a home
        return _compiled(function, keep=False)
    finally:
        numba.config.CACHE_DIR = before


def _compiled(function: F, *, keep: bool) -> F:
    made: F = numba.njit(nogil=True, cache=keep, error_model="numpy")(function)
    return made
