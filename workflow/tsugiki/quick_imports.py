"""Importing large libraries without searching them for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import here what a process keeps until its end.

    Modules are no garbage. Python's cyclic collector searches them all the same: again and again
    while they are imported, at each full collection afterwards, and when the process ends. With
    torch, transformers and lm-eval that takes a third of a short job's processor time. So it rests
    while they are imported, and leaves aside for good what is there then; what is made later is
    collected as ever.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
