"""Models that are trained here once and kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tsugiki import atomic
from tsugiki.locked import locked

KEY = ".key"
"""File beside a model's own: the digest of all that determines it."""


def kept(folder: Path, write: Callable[[Path], None], *, key: str | None = None) -> Path:
    """The folder of a model, which is made unless it is there; it appears whole or not at all.

    Processes that ask for the same model at the same time make it once: the others wait.

    Args:
        folder: Where it is kept.
        write: Trains the model and writes it to an empty folder.
        key: Digest of all that determines it: a model of another key, or of none, is made anew. None where the
            folder's name tells models apart.
    """
    if _is_there(folder, key):
        return folder
    with locked(folder.with_name(f".{folder.name}.lock")):
        atomic.sweep(folder.parent)
        if not _is_there(folder, key):
            with atomic.folder(folder, replace=key is not None) as temporary:
                write(temporary)
                if key is not None:
                    (temporary / KEY).write_text(key, encoding="utf-8")
    return folder


def reporter(
    what: str, steps: int, log: Callable[[str], None], *, every: int
) -> Callable[[int, float], None]:
    """What training calls after a step, with the number of steps done and the loss: a line now and then, and the last."""
    began = time.monotonic()

    def report(step: int, loss: float) -> None:
        if step % every == 0 or step == steps:
            seconds = time.monotonic() - began
            log(f"{what}: step {step} of {steps}, loss {loss:.3f}, {seconds:.0f} s")

    return report


def _is_there(folder: Path, key: str | None) -> bool:
    if key is None:
        return folder.is_dir()
    known = folder / KEY
    return known.is_file() and known.read_text(encoding="utf-8") == key
