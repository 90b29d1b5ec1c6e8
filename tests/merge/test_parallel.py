"""Working on several things at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tsugiki.merge.parallel import ordered

PATIENCE = 600.0
"""Seconds after which a broken test ends."""


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_are_in_order(threads: int) -> None:
    """Whoever finishes first."""
    assert list(ordered(lambda item: item * item, range(50), threads)) == [
        item * item for item in range(50)
    ]


def test_a_slow_item_holds_up_no_thread() -> None:
    """All others are done while the first one still waits for them."""
    others = threading.Barrier(2)
    done: list[int] = []

    def work(item: int) -> int:
        if item == 0:
            others.wait(timeout=PATIENCE)
        else:
            done.append(item)
            if len(done) == 19:
                others.wait(timeout=PATIENCE)
        return item

    assert list(ordered(work, range(20), 2)) == list(range(20))


@pytest.fixture
def cancelled(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when what has not begun is cancelled, and what has begun is waited for."""
    event, shutdown = threading.Event(), ThreadPoolExecutor.shutdown

    def ending(pool: ThreadPoolExecutor, **options: Any) -> None:
        event.set()
        shutdown(pool, **options)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", ending)
    return event


def test_an_error_comes_in_its_turn_and_ends_the_work(cancelled: threading.Event) -> None:
    """Earlier results are delivered, later work is not begun."""
    lock = threading.Lock()
    begun = set()

    def work(item: int) -> int:
        with lock:
            begun.add(item)
        if item == 3:
            raise ValueError(item)
        assert item < 3 or cancelled.wait(PATIENCE)
        return item

    results = ordered(work, range(100), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(results)
    assert begun <= {0, 1, 2, 3, 4, 5}, "two threads hold an item each"


def test_nothing_goes_on_after_an_error(cancelled: threading.Event) -> None:
    """What had begun has ended when the error is raised."""
    other = threading.Event()
    begun: set[int] = set()
    ended: set[int] = set()

    def fail_or_wait(item: int) -> int:
        begun.add(item)
        if item == 0:
            assert other.wait(PATIENCE)
            raise ValueError(item)
        other.set()
        assert cancelled.wait(PATIENCE)
        ended.add(item)
        return item

    with pytest.raises(ValueError, match="0"):
        list(ordered(fail_or_wait, range(100), 2))
    assert begun == ended | {0}
    assert ended <= {1, 2}
