"""Importing large libraries without searching them for garbage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import here what a process keeps until its end.

    Modules are no garbage. Python's cyclic collector searches them all the same: again and again
    while they are imported, at each full collection afterwards, and when the process ends. With
    torch, transformers and lm-eval that takes a third of a short job's processor time. So it rests
    while they are imported, and leaves aside for good what is there then; what is made later is
    collected as ever. Where all was imported before, nothing is left aside.
    """
    collecting, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        if collecting:
            gc.enable()
