"""The n-th largest magnitude of a task vector, exactly, in one pass and without sorting it.

A sample of the elements says between which two values the answer lies, with near certainty. One
pass counts what is larger and collects what lies between, a few hundredths of the elements, among
which the answer is found. If the sample was misleading, all elements are collected. The sample
decides how fast the answer is found, never what it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tsugiki.merge.kernels import BLOCK, Bits, magnitudes, magnitudes_between

SAMPLE = 1 << 15
RUN = 16
"""Elements of the sample that lie side by side, as they come from memory together."""
DEVIATIONS = 5.0
"""Half the width of the bracket, in standard deviations of a sampled rank."""
LARGEST = (1 << 31) - 1
"""Bits of the largest magnitude; magnitudes are in the order of their bits."""


def nth_largest(base: Bits, parent: Bits, count: int) -> float:
    """The `count`-th largest magnitude of parent minus base.

    Args:
        base: The base's elements.
        parent: The parent's elements, as many, in the same format.
        count: From 1 to the number of elements.
    """
    found = np.empty(base.size + BLOCK, np.uint32)
    for low, high in _brackets(base, parent, count):
        size, above = magnitudes_between(base, parent, low, high, found)
        place = size - (count - above)
        if 0 <= place < size:
            answer = np.partition(found[:size], place)[place : place + 1]
            return float(answer.view(np.float32)[0])
    raise AssertionError("the last bracket holds every element")


def _brackets(base: Bits, parent: Bits, count: int) -> Iterator[tuple[int, int]]:
    """Bits of two magnitudes that the answer probably lies between, then of all magnitudes."""
    if base.size > 4 * SAMPLE:
        sampled_base, sampled_parent = _sampled(base), _sampled(parent)
        sample = np.empty(sampled_base.size, np.uint32)
        magnitudes(sampled_base, sampled_parent, sample)
        share = 1.0 - count / base.size
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
