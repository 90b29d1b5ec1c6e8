"""Working on several things at a time, with results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Results of ``function(item)`` in the order of the items.

    A result waits for its turn in memory, however long the one before it takes, so that no thread
    stands still: results should be small. If calls raise, the first error in the order of the items
    is raised when its turn comes, whichever came first on the clock, and what has not begun is
    cancelled.
    """
    if threads <= 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
