"""Working on several things at a time, with results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered(function: Callable[[T], R], items: Sequence[T], threads: int) -> Iterator[R]:
    """Results of ``function(item)`` in the order of the items.

    A result waits for its turn in memory, however long the one before it takes, so that no thread
    stands still: results should be small. If calls raise, the first error in the order of the items
    is raised when its turn comes, whichever came first on the clock. What has not begun by then is
    cancelled, and what has begun is waited for, so that nothing is written any more afterwards.
    """
    if min(threads, len(items)) <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, items)
