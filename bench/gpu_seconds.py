"""Time on the clock that includes what a GPU does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch


def seconds(work: Callable[[], Any]) -> float:
    """Seconds from an idle GPU until it has done some work."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started
