"""The n-th largest magnitude."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tsugiki.merge import selection
from tsugiki.merge.kernels import selecting
from tsugiki.merge.kernels.elements import elements_of
from tsugiki.merge.selection import SAMPLE, magnitudes_of, nth_largest

SIZE = 6 * SAMPLE + 5


def sorted_answer(base: Tensor, parent: Tensor, count: int) -> float:
    """The same by sorting."""
    change = parent.float() - base.float()
    return change.abs().sort(descending=True).values[count - 1].item()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-4, 4, width=16), min_size=1, max_size=300),
    st.randoms(use_true_random=False),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_small_tensors_with_many_equal_magnitudes(
    changes: list[float], random: Any, dtype: torch.dtype
) -> None:
    """The answer is that of sorting."""
    parent = torch.tensor(changes).to(dtype)
    base = torch.zeros_like(parent)
    count = random.randint(1, len(changes))
    assert nth_largest(
        magnitudes_of(elements_of(base), elements_of(parent)), count
    ) == sorted_answer(base, parent, count)


SHAPES: dict[str, Callable[[], Tensor]] = {
    "normal": lambda: torch.randn(SIZE),
    "mostly zero": lambda: torch.randn(SIZE) * (torch.rand(SIZE) < 0.05),
    "few values": lambda: torch.randint(-3, 4, (SIZE,)).float(),
    "sorted": lambda: torch.linspace(-1, 1, SIZE),
    "large columns": lambda: torch.randn(SIZE) * (1 + 9 * (torch.arange(SIZE) % 7 == 0)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_large_tensors_of_any_distribution(shape: str, dtype: torch.dtype) -> None:
    """From the largest to the smallest element."""
    torch.manual_seed(0)
    base = torch.randn(SIZE).to(dtype)
    parent = (base.float() + 0.1 * SHAPES[shape]()).to(dtype)
    for count in (1, 2, SIZE // 100, SIZE // 5, SIZE // 2, SIZE - 1, SIZE):
        found = nth_largest(magnitudes_of(elements_of(base), elements_of(parent)), count)
        assert found == sorted_answer(base, parent, count)


def test_a_misleading_sample_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the answer does not lie where the sample says, all elements are looked at."""
    torch.manual_seed(0)
    base, parent = torch.zeros(SIZE), torch.randn(SIZE)
    brackets: list[tuple[int, int]] = []

    def misled(base: Any, parent: Any, low: int, high: int, out: Any) -> tuple[int, int]:
        brackets.append((low, high))
        return between(base, parent, low, high, out)

    between = selecting.magnitudes_between
    monkeypatch.setattr(selecting, "magnitudes_between", misled)
    step = SIZE // SAMPLE | 1
    parent[::step] = 100.0
    found = nth_largest(magnitudes_of(elements_of(base), elements_of(parent)), SIZE // 2)
    assert found == sorted_answer(base, parent, SIZE // 2)
    assert len(brackets) == 2


def test_the_sample_narrows_the_search() -> None:
    """Few elements are collected, else the method would be no faster than sorting."""
    torch.manual_seed(0)
    base, parent = elements_of(torch.zeros(SIZE)), elements_of(torch.randn(SIZE))
    numbers = magnitudes_of(base, parent)
    low, high = next(selection._brackets(numbers, SIZE // 5))
    out = np.empty(SIZE + selection.BLOCK, np.uint32)
    assert numbers.between(low, high, out)[0] < 0.05 * SIZE
