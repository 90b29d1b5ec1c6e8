"""Work beside the forward passes."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tsugiki.evaluate.meanwhile import one_after_another


def test_work_is_done_in_order_and_all_of_it() -> None:
    """The block may go on before it is done, and ends after."""
    gate = threading.Event()
    done: list[int] = []

    def first() -> None:
        assert gate.wait(600)
        done.append(1)

    with one_after_another() as meanwhile:
        meanwhile(first)
        assert done == []
        gate.set()
        meanwhile(lambda: done.append(2))
        assert done[0] == 1
        meanwhile(lambda: done.append(3))
    assert done == [1, 2, 3]


def test_a_fault_of_the_work_is_raised_by_the_next_call_or_at_the_end() -> None:
    """Nothing after it is begun."""
    done: list[int] = []
    with pytest.raises(OSError, match="disk full"):
        do(fail, lambda: done.append(1))
    assert done == []
    with pytest.raises(OSError, match="disk full"):
        do(lambda: done.append(2), fail)
    assert done == [2]


def test_a_fault_of_the_block_goes_first_and_what_was_begun_is_finished() -> None:
    """The outcome before the one that failed is kept."""
    done: list[int] = []
    with pytest.raises(ValueError, match="the block"):
        do(lambda: done.append(1), then=ValueError("the block"))
    assert done == [1]
    with pytest.raises(ValueError, match="the block"):
        do(fail, then=ValueError("the block"))


def do(*works: Callable[[], None], then: Exception | None = None) -> None:
    """Some work beside a block, which may raise in the end."""
    with one_after_another() as meanwhile:
        for work in works:
            meanwhile(work)
        if then is not None:
            raise then


def fail() -> None:
    """Work that cannot be done."""
    raise OSError("disk full")
