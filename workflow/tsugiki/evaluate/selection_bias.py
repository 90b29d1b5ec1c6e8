"""By how much the best of many candidates looks better than it is: the winner's curse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from tsugiki.evaluate.statistics import (
    CONFIDENCE,
    Floats,
    Key,
    Statistic,
    chunks,
    resamples_of,
)
from tsugiki.keyed import generator

Chosen = npt.NDArray[np.bool_]

SPLITS = 50
"""Divisions of the items to estimate a selection bias by."""
SELECTION_SPLITS = 12
"""Divisions where a score is computed again for each candidate and part."""
GROUPS = 10
"""Groups of items that are left out in turn for an interval."""
SELECTION_RESAMPLES = 100
"""Of the bootstrap's estimate, where a score is computed again for each candidate and resample."""
FEWEST = 4
"""Items below which no quarter of them can choose."""


def selection_bias(
    sets: Sequence[Floats], key: Key, *, splits: int = SPLITS
) -> tuple[float, tuple[float, float]]:
    """By how much the best of many candidates is expected to look better than it is, with an interval.

    The winner's curse: the best score on some items is partly luck on those items. Items are divided
    at random, the best candidate is chosen on one part, and its score there is compared with its score
    on the rest, which did not choose it: on average that is the bias of a choice on so few items,
    whatever the candidates have in common. Halves and quarters tell how it falls with the number of
    items, and give that on all of them. The interval is the delete-a-group jackknife's (Shao and Tu 1995,
    "The jackknife and bootstrap", section 2.3).

    Args:
        sets: Scores, larger is better, shape (candidates, items) for each set of items, at least four
            items each; a candidate's score is the sum of its means over the sets.
        key: Names the random numbers.
        splits: How often items are divided; each half, and each quarter, chooses once.

    Returns:
        The expected difference and both ends of its interval, in the unit of the scores; none is
        negative.

    Raises:
        ValueError: a set has too few items.
    """
    _refuse_few([scores.shape[1] for scores in sets])
    random = generator("selection-bias", *key)
    fewest = min(scores.shape[1] for scores in sets)
    parts = [[_parts(random, scores.shape[1], of, splits) for scores in sets] for of in (2, 4)]
    groups = [random.permutation(scores.shape[1]) % min(GROUPS, fewest) for scores in sets]

    def estimate(left_out: int | None) -> float:
        gaps = []
        for divided in parts:
            chosen_on, others = (
                _sum_of_means(
                    sets,
                    [
                        (part == chooses) & (group != left_out)
                        for part, group in zip(divided, groups, strict=True)
                    ],
                )
                for chooses in (True, False)
            )
            gaps.append(_gap(chosen_on, others))
        return _extrapolated(*gaps)

    found = estimate(None)
    without = np.array([estimate(group) for group in range(min(GROUPS, fewest))])
    variance = (len(without) - 1) * float(without.var())
    margin = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * math.sqrt(variance)
    return found, (max(0.0, found - margin), found + margin)


def resampled_selection_bias(
    statistics: Sequence[Statistic],
    sizes: Sequence[int],
    sign: float,
    key: Key,
    *,
    splits: int = SELECTION_SPLITS,
) -> float:
    """The selection bias of a score that is no mean, by dividing the items as `selection_bias` does.

    Args:
        statistics: The score of each candidate over samples of its items; at least one.
        sizes: How many items there are in each set of them; at least four.
        sign: 1 if larger is better, -1 if smaller is.
        key: Names the random numbers.
        splits: How often items are divided; each half, and each quarter, chooses once.

    Raises:
        ValueError: a set has too few items.
    """
    _refuse_few(sizes)
    random = generator("selection-bias", *key)
    starts = np.cumsum([0, *sizes])
    gaps = []
    for of in (2, 4):
        parts = [_parts(random, size, of, splits) for size in sizes]
        both: list[list[Floats]] = [[], []]
        for row in range(of * splits):
            for scores, chooses in zip(both, (True, False), strict=True):
                places = [
                    start + np.flatnonzero(one[row] == chooses)
                    for start, one in zip(starts, parts, strict=False)
                ]
                sample = np.concatenate(places)[np.newaxis]
                scores.append(sign * np.array([float(one(sample)[0]) for one in statistics]))
        gaps.append(_gap(np.array(both[0]), np.array(both[1])))
    return _extrapolated(*gaps)


def _refuse_few(sizes: Sequence[int]) -> None:
    if min(sizes) < FEWEST:
        raise ValueError(f"a selection bias needs {FEWEST} items, and there are {min(sizes)}")


def _parts(random: np.random.Generator, items: int, of: int, splits: int) -> Chosen:
    """Which items are in each part of each division in so many parts: shape (of x splits, items).

    As each part of a division chooses, what all candidates have in common cancels.
    """
    orders = np.argsort(random.random((splits, items)), axis=1)
    return np.concatenate([orders % of == part for part in range(of)])


def _sum_of_means(sets: Sequence[Floats], chosen: Sequence[Chosen]) -> Floats:
    """Scores on some of the items: by set, which of its items, shape (samples, items); to (samples, candidates)."""
    total = np.zeros((len(chosen[0]), len(sets[0])))
    for scores, weights in zip(sets, chosen, strict=True):
        counts = weights.sum(axis=1, keepdims=True)
        total += weights @ scores.T / np.where(counts > 0, counts, np.nan)
    return total


def _gap(chosen_on: Floats, others: Floats) -> float:
    """By how much the best on some items is worse on the others, on average over samples.

    Args:
        chosen_on: shape (samples, candidates), larger is better.
        others: The scores on the other items; samples without a finite score are left out.
    """
    usable = np.isfinite(chosen_on).any(axis=1)
    best = np.where(np.isfinite(chosen_on), chosen_on, -np.inf)[usable].argmax(axis=1)
    rows = np.flatnonzero(usable)
    gaps = chosen_on[rows, best] - others[rows, best]
    gaps = gaps[np.isfinite(gaps)]
    return float(gaps.mean()) if gaps.size else 0.0


def _extrapolated(half: float, quarter: float) -> float:
    """The bias on all items, from those of choices on a half and on a quarter of them.

    Of candidates whose true scores have a variance of k times that of the noise, which n items leave, the
    best looks better by c / sqrt(1 + k) times the noise's standard deviation: of equal candidates the
    bias falls with the square root of n, of such that are far apart with n. Both biases tell k.
    """
    if half <= 0:
        return 0.0
    share = min(max((quarter / half / 2) ** 2, 0.5), 1 - 1e-9)  # (2 + k) / (4 + k)
    k = (4 * share - 2) / (1 - share)
    return half / 2 * math.sqrt((2 + k) / (1 + k))


def bootstrapped_selection_bias(scores: Floats, key: Key, *, resamples: int = 1000) -> float:
    """The bootstrap's estimate of a selection bias, which final tables of version 1 hold.

    It is too small: candidates spread more on the items than they truly do, and resampling adds to
    that spread (480 equal candidates on 200 items: 0.073 in place of 0.106). The bootstrap repeats
    the selection on resampled items and compares the winner's score there with its score on all items
    (Tibshirani and Tibshirani 2009, "A bias correction for the minimum error rate in cross-validation").
    Candidates that are right on the same items are treated as such.

    Args:
        scores: Larger is better; shape (candidates, items), at least one of each.
        key: Names the random numbers.
        resamples: Resamples drawn.

    Returns:
        The expected difference, in the unit of the scores; 0 for a single candidate but for the
        resampling's noise.
    """
    items = scores.shape[1]
    means = scores.mean(axis=1)
    random = generator("selection-bias", *key)
    total = 0.0
    for size in chunks(resamples):
        counts = random.multinomial(items, np.full(items, 1 / items), size=size)
        resampled = counts @ scores.T / items
        winners = resampled.argmax(axis=1)
        total += float((resampled[np.arange(size), winners] - means[winners]).sum())
    return total / resamples


def bootstrapped_selection_bias_of(
    statistics: Sequence[Statistic],
    sizes: Sequence[int],
    sign: float,
    key: Key,
    *,
    resamples: int = SELECTION_RESAMPLES,
) -> float:
    """The bootstrap's estimate for a score that is no mean, which final tables of version 1 hold.

    Args:
        statistics: The score of each candidate over samples of its items; at least one.
        sizes: How many items there are in each set of them.
        sign: 1 if larger is better, -1 if smaller is.
        key: Names the random numbers.
        resamples: Resamples drawn.
    """
    random = generator("selection-bias", *key)
    samples = resamples_of(random, sizes, resamples)
    everything = np.arange(samples.shape[1])[np.newaxis]
    scores = sign * np.array([float(one(everything)[0]) for one in statistics])
    resampled = sign * np.stack([one(samples) for one in statistics], axis=1)
    resampled = np.where(np.isfinite(resampled), resampled, scores)
    winners = resampled.argmax(axis=1)
    return float((resampled[np.arange(resamples), winners] - scores[winners]).mean())
