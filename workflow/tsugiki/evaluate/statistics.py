"""Intervals and tests for scores on the same items.

All functions are pure. Where they draw random numbers, these are keyed: equal arguments give
equal results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from tsugiki.contracts.data import Data
from tsugiki.keyed import generator

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Statistic = Callable[[Places], Floats]
"""Values of samples: from the places of the items in each, shape (samples, items), to shape
(samples,); NaN where a sample has none."""
Key = tuple[str | int, ...]

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
RESAMPLES = 10_000
CORPUS_RESAMPLES = 1000
"""Resamples where a score is no mean, and is computed again for each."""
CHUNK = 500
"""Resamples that are held in memory at once."""


class Interval(Data):
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float
    items: int
    """How many items it is estimated from."""


def wilson_interval(successes: int, items: int) -> Interval:
    """Score interval of a proportion, of coverage `CONFIDENCE`.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical
    inference", equation for the limits, without continuity correction.

    Args:
        successes: Items that were solved.
        items: All items; at least 1.

    Raises:
        ValueError: there are no items, or more successes than items.
    """
    if not 0 <= successes <= items or items == 0:
        raise ValueError(f"{successes} successes among {items} items")
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    share = successes / items
    shrink = 1 + z * z / items
    centre = (share + z * z / (2 * items)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / items + z * z / (4 * items * items))
    # At 0 and 1 the limits are exact; rounding must not move them past the estimate.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == items else min(1.0, centre + half)
    return Interval(value=share, low=low, high=high, items=items)


def bootstrap_interval(values: Floats, key: Key, *, resamples: int = RESAMPLES) -> Interval:
    """Percentile bootstrap interval of a mean, of coverage `CONFIDENCE`.

    Source: Efron and Tibshirani (1993), "An introduction to the bootstrap", section 13.3.
    A resample's mean depends only on how often each distinct value is drawn, so the counts are
    drawn, from a multinomial distribution.

    Args:
        values: One number per item, shape (items,), at least one.
        key: Names the random numbers.
        resamples: Resamples drawn.

    Raises:
        ValueError: there are no items.
    """
    if values.size == 0:
        raise ValueError("an interval needs at least one item")
    distinct, counts = np.unique(values, return_counts=True)
    random = generator("bootstrap", *key)
    means = np.concatenate(
        [
            random.multinomial(values.size, counts / values.size, size=size) @ distinct
            for size in chunks(resamples)
        ]
    )
    low, high = np.quantile(means / values.size, (TAIL, 1 - TAIL))
    return Interval(
        value=float(values.mean()), low=float(low), high=float(high), items=int(values.size)
    )


def score_interval(values: Floats, key: Key) -> Interval:
    """Interval of a mean score: Wilson's if every item is 0 or 1, else the bootstrap's."""
    if np.isin(values, (0.0, 1.0)).all():
        return wilson_interval(int(values.sum()), int(values.size))
    return bootstrap_interval(values, key)


def resampled_interval(
    value: float,
    statistic: Statistic,
    sizes: Sequence[int],
    key: Key,
    *,
    resamples: int = CORPUS_RESAMPLES,
) -> Interval:
    """Percentile bootstrap interval of a score that is no mean of its items.

    Source: as `bootstrap_interval`; whole items are drawn. Resamples without a value are left out.

    Args:
        value: The score over all items.
        statistic: The score over samples of the items; their places count from 0.
        sizes: How many items there are, at least 1, in each of the sets that are resampled by themselves
            and whose places follow each other.
        key: Names the random numbers.
        resamples: Resamples drawn.

    Raises:
        ValueError: there are no items.
    """
    if 0 in sizes:
        raise ValueError("an interval needs at least one item")
    random = generator("bootstrap", *key)
    drawn = np.concatenate(
        [statistic(resamples_of(random, sizes, size)) for size in chunks(resamples)]
    )
    known = drawn[np.isfinite(drawn)]
    low, high = np.quantile(known, (TAIL, 1 - TAIL)) if known.size else (value, value)
    return Interval(value=value, low=float(low), high=float(high), items=sum(sizes))


def exact_mcnemar(gained: int, lost: int) -> float:
    """Two-sided p-value of the exact McNemar test.

    Source: McNemar (1947), "Note on the sampling error of the difference between correlated
    proportions", with the binomial distribution in place of the chi-squared one: under the null
    hypothesis each changed item is a fair coin. Computed in whole numbers.

    Args:
        gained: Items that the first model solves and the second does not.
        lost: Items that the second model solves and the first does not.
    """
    changed = gained + lost
    tail = sum(math.comb(changed, smaller) for smaller in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << changed))


def paired_test(first: Floats, second: Floats, key: Key, *, resamples: int = RESAMPLES) -> float:
    """Two-sided p-value that two models score alike on the same items.

    Where all differences have one size, as with solved or not, this is the exact McNemar test.
    Otherwise it is the sign-flip randomisation test of the mean difference (Fisher 1935, "The
    design of experiments", section 21), with the observed signs counted as one of the draws.

    Args:
        first: One number per item, shape (items,).
        second: The other model's, same items in the same order.
        key: Names the random numbers.
        resamples: Sign patterns drawn.
    """
    differences = first - second
    sizes = np.abs(differences[differences != 0])
    if np.unique(sizes).size <= 1:
        return exact_mcnemar(int((differences > 0).sum()), int((differences < 0).sum()))
    random = generator("sign-flip", *key)
    observed = abs(differences.sum())
    # A sum that equals the observed one but for rounding counts as reaching it.
    threshold = observed * (1 - 1e-12)
    reached = sum(
        int(
            (np.abs(random.choice((-1.0, 1.0), size=(size, sizes.size)) @ sizes) >= threshold).sum()
        )
        for size in chunks(resamples)
    )
    return (1 + reached) / (1 + resamples)


def permutation_test(
    statistic: Statistic, items: int, key: Key, *, resamples: int = CORPUS_RESAMPLES
) -> float:
    """Two-sided p-value that two models score alike on the same items, for a score that is no mean.

    Under the null hypothesis it is chance which of the two gave which answer to an item (Fisher
    1935, as `paired_test`; for such scores Yeh 2000, "More accurate tests for the statistical
    significance of result differences"). The observed assignment counts as one of the draws, and
    one without a value as reaching the observed difference.

    Args:
        statistic: The score over samples of both models' items: places from 0 are of the first
            model, places from `items` of the second, in the same order.
        items: How many items there are.
        key: Names the random numbers.
        resamples: Assignments drawn.
    """
    random = generator("permutation", *key)
    first = np.arange(items)[np.newaxis]
    observed = float(np.abs(statistic(first) - statistic(first + items))[0])
    threshold = observed * (1 - 1e-12)
    reached = 0
    for size in chunks(resamples):
        swapped = random.integers(2, size=(size, items)) * items
        difference = np.abs(statistic(first + swapped) - statistic(first + items - swapped))
        reached += int((~(difference < threshold)).sum())
    return (1 + reached) / (1 + resamples)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number, in the order given.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure". The adjusted
    value is the smallest family-wise error rate at which the hypothesis is rejected.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    ascending = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for rank, index in enumerate(ascending):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def resamples_of(random: np.random.Generator, sizes: Sequence[int], count: int) -> Places:
    """Places of items, shape (count, items); each set of items is drawn from by itself."""
    drawn, start = [], 0
    for size in sizes:
        drawn.append(start + random.integers(size, size=(count, size)))
        start += size
    return np.concatenate(drawn, axis=1)


def chunks(total: int) -> list[int]:
    """How many resamples to draw at a time."""
    full, rest = divmod(total, CHUNK)
    return [CHUNK] * full + ([rest] if rest else [])
