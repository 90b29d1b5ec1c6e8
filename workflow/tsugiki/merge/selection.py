"""The n-th largest of some numbers that follow from tensors, exactly, in one pass, without sorting.

A sample of the elements says between which two values the answer lies, with near certainty. One
pass counts what is larger and collects what lies between, a few hundredths of the elements, among
which the answer is found. If the sample was misleading, all elements are collected. The sample
decides how fast the answer is found, never what it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsugiki.merge.kernels import selecting, variance
from tsugiki.merge.kernels.elements import BLOCK, Addresses, Bits, addresses

SAMPLE = 1 << 15
RUN = 16
"""Elements of the sample that lie side by side, as they come from memory together."""
DEVIATIONS = 5.0
"""Half the width of the bracket, in standard deviations of a sampled rank."""
LARGEST = (1 << 31) - 1
"""Bits of the largest number, NaN."""
INFINITY = 0x7F800000
"""Bits of infinity."""

Numbers = NDArray[np.uint32]
"""Bits of float32 numbers that are not negative: they are in the order of the numbers."""


@dataclass(frozen=True)
class Ranked:
    """Numbers that follow from a base and parents, one for each element; all elements in one format."""

    base: Bits
    parents: Sequence[Bits]
    write: Callable[[Bits, Addresses, Numbers], None]
    """Writes the numbers of base and parents."""
    collect: Callable[[Bits, Addresses, int, int, Numbers], tuple[np.int64, np.int64]]
    """Writes those that lie between two, inclusive; how many these are, and how many are larger. There
    is to be room for all, and a block more."""

    @property
    def size(self) -> int:
        """How many there are."""
        return self.base.size

    def sample(self) -> Numbers:
        """Some of them."""
        base, parents = _sampled(self.base), [_sampled(parent) for parent in self.parents]
        out = np.empty(base.size, np.uint32)
        self.write(base, addresses(parents), out)
        return out

    def between(self, low: int, high: int, out: Numbers) -> tuple[int, int]:
        """Collect those between two."""
        found, larger = self.collect(self.base, addresses(self.parents), low, high, out)
        return int(found), int(larger)


def magnitudes_of(base: Bits, parent: Bits) -> Ranked:
    """Magnitudes of parent minus base."""
    return Ranked(base, (parent,), selecting.magnitudes, selecting.magnitudes_between)


def variances_of(base: Bits, parents: Sequence[Bits]) -> Ranked:
    """Variances of parent minus base, over the parents."""
    return Ranked(base, parents, variance.variances, variance.variances_between)


def nth_largest(numbers: Ranked, count: int) -> float:
    """The `count`-th largest of some numbers, from 1 to as many as there are."""
    found = np.empty(numbers.size + BLOCK, np.uint32)
    for low, high in _brackets(numbers, count):
        size, above = numbers.between(low, high, found)
        place = size - (count - above)
        if 0 <= place < size:
            answer = np.partition(found[:size], place)[place : place + 1]
            return float(answer.view(np.float32)[0])
    raise AssertionError("the last bracket holds every element")


def nth_largest_by_counting(magnitudes: Tensor, count: int) -> float:
    """The `count`-th largest of float32 numbers that are not negative, exactly, on any device.

    Their bits are in their order: the range of these is halved until one is left, by counting. To sort
    a large tensor would take several times its memory.
    """
    bits = magnitudes.view(torch.int32)
    low, high = 0, INFINITY
    while low < high:
        middle = (low + high + 1) // 2
        if int((bits >= middle).sum()) >= count:
            low = middle
        else:
            high = middle - 1
    return float(torch.tensor(low, dtype=torch.int32).view(torch.float32))


def count_positive(numbers: Ranked) -> int:
    """How many of the numbers are not zero."""
    return numbers.size - numbers.between(0, 0, np.empty(numbers.size + BLOCK, np.uint32))[0]


def _brackets(numbers: Ranked, count: int) -> Iterator[tuple[int, int]]:
    """Bits of two numbers that the answer probably lies between, then of all numbers."""
    if numbers.size > 4 * SAMPLE:
        sample = numbers.sample()
        share = 1.0 - count / numbers.size
        rank = share * sample.size
        spread = DEVIATIONS * math.sqrt(sample.size * share * (1.0 - share)) + DEVIATIONS
        first, last = math.floor(rank - spread), math.ceil(rank + spread)
        inside = [place for place in (first, last) if 0 <= place < sample.size]
        sample.partition(inside)
        low = int(sample[first]) if first >= 0 else 0
        high = int(sample[last]) if last < sample.size else LARGEST
        yield low, high
    yield 0, LARGEST


def _sampled(elements: Bits) -> Bits:
    runs = elements[: elements.size - elements.size % RUN].reshape(-1, RUN)
    step = runs.shape[0] * RUN // SAMPLE | 1  # odd, so as not to stay in one column of a matrix
    return runs[::step].flatten()
