"""Working on several things at a time, with results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def runs(items: Iterable[T], size: Callable[[T], int], least: int) -> list[Sequence[T]]:
    """Divide items into runs of neighbours, each of at least some size, but for the last one.

    What is done with a small item takes less time than to hand it to a thread.
    """
    divided: list[Sequence[T]] = []
    run: list[T] = []
    room = least
    for item in items:
        run.append(item)
        room -= size(item)
        if room <= 0:
            divided.append(run)
            run, room = [], least
    return [*divided, run] if run else divided


def ordered(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Results of ``function(item)`` in the order of the items.

    A result waits for its turn in memory, however long the one before it takes, so that no thread
    stands still: results should be small. If calls raise, the first error in the order of the items
    is raised when its turn comes, whichever came first on the clock, and what has not begun is
    cancelled.
    """
    yield from Threads().ordered(function, items, threads)


class Threads:
    """Threads that are kept for the next call, since new ones are slow to share out the processors."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._count = 0

    def ordered(self, function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
        """See the function `ordered`. Only one call may be under way."""
        items = list(items)
        if min(threads, len(items)) <= 1:
            yield from map(function, items)
            return
        if self._pool is None or self._count != threads:
            self._pool, self._count = ThreadPoolExecutor(threads), threads
        results = [self._pool.submit(function, item) for item in items]
        try:
            for result in results:
                yield result.result()
        finally:
            for result in results:
                result.cancel()
            wait(results)  # so that nothing is written any more when the caller goes on
