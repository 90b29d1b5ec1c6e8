"""Work beside the forward passes: writing what came of a candidate while the next one is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

Work = Callable[[], None]


@contextmanager
def one_after_another() -> Iterator[Callable[[Work], None]]:
    """Yield a function that does what it is given in another thread, in order.

    It waits until what it was given before is done: whoever is killed has lost that and no more. All
    is done when the block ends.

    Raises:
        Exception: what the work raised, when the next work is given, or at the end of the block. An
            exception of the block itself goes first.
    """
    before: Future[None] | None = None
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="meanwhile") as thread:

        def begin(work: Work) -> None:
            nonlocal before
            if before is not None:
                before.result()
            before = thread.submit(work)

        yield begin
        if before is not None:
            before.result()
