"""Compiling a loop when it is first called, and keeping the machine code on disk."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
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
    if _KEPT_IN is not None:
        _keep_one_at_a_time(made, Path(_KEPT_IN))
    return made


def _keep_one_at_a_time(made: Any, store: Path) -> None:
    """Have processes that compile the same function at the same time take turns to keep it.

    numba reads its index, chooses a free file name and writes both, with no lock. Two processes may so
    choose the same name for different machine code, of other argument types or another processor, and
    then a third one runs the wrong code.
    """
    cache = getattr(made, "_cache", None)  # there is no other way to know when numba writes
    if cache is None:
        return  # numba is told not to compile
    keep = cache.save_overload

    def keep_alone(*arguments: Any) -> None:
        with ExitStack() as stack:
            with suppress(OSError):  # a folder that cannot be written, a file system without locks
                guard = stack.enter_context((store / ".lock").open("w"))
                fcntl.flock(guard, fcntl.LOCK_EX)
                # by itself it ends with the last process that was forked meanwhile
                stack.callback(fcntl.flock, guard, fcntl.LOCK_UN)
            keep(*arguments)

    cache.save_overload = keep_alone
