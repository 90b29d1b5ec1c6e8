"""The n-th largest of some numbers that follow from tensors, exactly, in one pass, without sorting.

A sample of the elements says between which two values the answer lies, with near certainty. One
pass counts what is larger and collects what lies between, a few hundredths of the elements, among
which the answer is found. If the sample was misleading, all elements are collected. The sample
decides how fast the answer is found, never what it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.kernels.elements import BLOCK, Bits, addresses
from tsugiki.merge.kernels.selecting import magnitudes, magnitudes_between
from tsugiki.merge.kernels.variance import variances, variances_between

SAMPLE = 1 << 15
RUN = 16
"""Elements of the sample that lie side by side, as they come from memory together."""
DEVIATIONS = 5.0
"""Half the width of the bracket, in standard deviations of a sampled rank."""
LARGEST = (1 << 31) - 1
"""Bits of the largest number."""


Numbers = NDArray[np.uint32]
"""Bits of float32 numbers that are not negative: they are in the order of the numbers."""


class Selectable(Protocol):
    """Numbers, one for each element of a tensor."""

    @property
    def size(self) -> int:
        """How many there are."""

    def sample(self) -> Numbers:
        """Some of them."""

    def between(self, low: int, high: int, out: Numbers) -> tuple[int, int]:
        """Write those between two, inclusive, to `out`; how many these are, and how many are larger.

        `out` has room for all, and a block more.
        """


@dataclass(frozen=True)
class Magnitudes:
    """Magnitudes of parent minus base, given as many elements of each in one format."""

    base: Bits
    parent: Bits

    @property
    def size(self) -> int:
        """How many there are."""
        return self.base.size

    def sample(self) -> Numbers:
        """Some of them."""
        base = _sampled(self.base)
        out = np.empty(base.size, np.uint32)
        magnitudes(base, _sampled(self.parent), out)
        return out

    def between(self, low: int, high: int, out: Numbers) -> tuple[int, int]:
        """Write those between two, and count what is larger (see `Selectable.between`)."""
        found, larger = magnitudes_between(self.base, self.parent, low, high, out)
        return int(found), int(larger)


@dataclass(frozen=True)
class Variances:
    """Variances of parent minus base, over the parents."""

    base: Bits
    parents: tuple[Bits, ...]

    @property
    def size(self) -> int:
        """How many there are."""
        return self.base.size

    def sample(self) -> Numbers:
        """Some of them."""
        base = _sampled(self.base)
        out = np.empty(base.size, np.uint32)
        parents = [_sampled(parent) for parent in self.parents]
        variances(base, addresses(parents), out)
        return out

    def between(self, low: int, high: int, out: Numbers) -> tuple[int, int]:
        """Write those between two, and count what is larger (see `Selectable.between`)."""
        parents = addresses(self.parents)
        found, larger = variances_between(self.base, parents, low, high, out)
        return int(found), int(larger)


def nth_largest(numbers: Selectable, count: int) -> float:
    """The `count`-th largest of some numbers, from 1 to as many as there are."""
    found = np.empty(numbers.size + BLOCK, np.uint32)
    for low, high in _brackets(numbers, count):
        size, above = numbers.between(low, high, found)
        place = size - (count - above)
        if 0 <= place < size:
            answer = np.partition(found[:size], place)[place : place + 1]
            return float(answer.view(np.float32)[0])
    raise AssertionError("the last bracket holds every element")


def count_positive(numbers: Selectable) -> int:
    """How many of the numbers are not zero."""
    return numbers.size - numbers.between(0, 0, np.empty(numbers.size + BLOCK, np.uint32))[0]


def _brackets(numbers: Selectable, count: int) -> Iterator[tuple[int, int]]:
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
