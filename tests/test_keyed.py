"""Keyed randomness."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tsugiki.keyed import generator, key64

PARTS = st.lists(st.text(max_size=4) | st.integers(0, 99), max_size=4)


@given(PARTS, PARTS)
def test_keys_are_equal_where_the_parts_are(one: list[str | int], other: list[str | int]) -> None:
    """Where one part ends and the next begins counts; a number is its digits."""
    same = [str(part) for part in one] == [str(part) for part in other]
    assert (key64(*one) == key64(*other)) == same


def test_parts_are_not_run_together() -> None:
    """`a`, `bc` is not `ab`, `c`."""
    assert len({key64("a", "bc"), key64("ab", "c"), key64("abc"), key64("abc", "")}) == 4


def test_numbers_follow_from_the_key_alone() -> None:
    """Not from what was drawn before, nor from the hash seed of the process."""
    first = generator("seed", 1).random(4)
    generator("other").random(100)
    assert np.array_equal(generator("seed", 1).random(4), first)
    assert not np.array_equal(generator("seed", 2).random(4), first)
    script = "from tsugiki.keyed import generator; print(generator('seed', 1).random(4).tolist())"
    other = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONHASHSEED": "99"},
    )
    assert other.stdout.strip() == str(first.tolist())
