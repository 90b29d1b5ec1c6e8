"""Compiling a loop when it is first called, and keeping the machine code on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
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


def _places() -> Iterator[Path]:
    """Folders for machine code, best first; in a container the package's own is read-only."""
    if numba.config.CACHE_DIR:
        yield Path(numba.config.CACHE_DIR)
    yield _FOLDER / "__pycache__"
    yield Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tsugiki"


def _kept_in() -> str | None:
    """The store in the first place that can be written; None if there is none.

    numba would look for another place itself, but for one that is not named after the sources.
    """
    with suppress(RuntimeError):  # no home
        for place in _places():
            with suppress(OSError):
                store = place / _STORE
                store.mkdir(parents=True, exist_ok=True)
                if os.access(store, os.W_OK):
                    return str(store)
    return None


_KEPT_IN = _kept_in()


def compiled(function: F) -> F:
    """Compile a function when it is first called; the interpreter's lock is released meanwhile."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = _KEPT_IN or before
    try:
        made: F = numba.njit(nogil=True, cache=_KEPT_IN is not None, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = before
    return made
