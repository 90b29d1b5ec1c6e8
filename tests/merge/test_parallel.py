"""Working on several things at a time."""

from __future__ import annotations

import threading

import pytest

from tsugiki.merge.parallel import ordered


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_are_in_order(threads: int) -> None:
    """Whoever finishes first."""
    assert list(ordered(lambda item: item * item, range(50), threads)) == [
        item * item for item in range(50)
    ]


def test_work_does_not_run_far_ahead() -> None:
    """Memory is bounded: at most threads + 1 items have begun beyond what was taken."""
    begun: list[int] = []
    results = ordered(lambda item: begun.append(item) or item, range(100), 2)
    assert next(results) == 0
    assert len(begun) <= 4


def test_an_error_comes_in_its_turn_and_ends_the_work() -> None:
    """Earlier results are delivered, later work is not begun."""
    lock = threading.Lock()
    begun = set()

    def work(item: int) -> int:
        with lock:
            begun.add(item)
        if item == 3:
            raise ValueError(item)
        return item

    results = ordered(work, range(100), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(results)
    assert len(begun) < 10
