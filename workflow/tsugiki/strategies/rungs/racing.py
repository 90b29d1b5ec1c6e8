"""Racing: a candidate is eliminated once it is shown to be worse than enough others.

Maron and Moore, "Hoeffding races", NeurIPS 1994, race for the best one; Heidrich-Meisner and Igel, "Hoeffding
and Bernstein races for selecting policies in evolutionary direct policy search", ICML 2009, for the best mu,
which an evolution strategy learns from. Their bounds ignore that all candidates answered the
same documents, and separate nothing on a hundred of them. Here differences are paired by document.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tsugiki.errors import EvaluationError
from tsugiki.strategies.rungs.rule import Rule, Standing

Floats = npt.NDArray[np.float64]

TAIL = 1 / (4 * (1 - NormalDist().cdf(math.sqrt(2))))
"""Bentkus and Dzindzalieta, "A tight Gaussian bound for weighted sums of Rademacher random variables",
Bernoulli 21(2), 2015: signs of numbers drawn by a fair coin make a sum that is x times its standard deviation
at most this many times (3.18) as often as a normal number is."""


class Racing(Rule):
    """A candidate is eliminated once as many others as are worth keeping are shown to be better."""

    by_document: ClassVar[bool] = True

    kind: Literal["racing"]
    """A race over documents."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Error rate: the probability, per generation, that any candidate worth keeping is eliminated at any rung."""
    keep: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of a generation that is worth keeping, rounded up. CMA-ES learns from the better half."""

    def left(self, standing: Standing) -> list[str | None]:
        """Eliminate the candidates that enough others are shown to beat.

        Raises:
            EvaluationError: an objective has no number for each document.
        """
        kept = math.ceil(self.keep * standing.candidates)
        known = ~standing.scores.failed
        reasons: list[str | None] = [None] * len(known)
        if not 0 < kept < standing.candidates:
            return reasons
        numbers = standing.by_document[known]
        if np.isnan(numbers).any():
            raise EvaluationError(
                "racing compares candidates document by document, and an objective has no number for each",
                where="evaluation.rungs.rule",
                fix="use a metric that is a mean over documents, or the rule `halving`",
            )
        if standing.weighs:
            numbers = (numbers @ standing.scores.weights)[..., np.newaxis]
        comparisons = kept * (standing.candidates - kept) * (len(standing.documents) - 1)
        beaten_by = shown_better(numbers, self.alpha / comparisons).sum(axis=1)
        for index, count in zip(np.flatnonzero(known), beaten_by, strict=True):
            if count >= kept:
                reasons[index] = f"shown to be worse than {count} others"
        return reasons


def shown_better(numbers: Floats, level: float) -> npt.NDArray[np.bool_]:
    """Which candidates are shown to be better than which, by a paired test for each measure.

    The null hypothesis is that a difference on a document is as likely as the opposite one: for answers that
    are right or wrong, that both candidates are equally good. Then the sum of the differences, in units of the
    root of the sum of their squares, exceeds x with a probability of at most `TAIL` times that of a normal
    number, whatever the number of documents.

    Args:
        numbers: shape (candidates, documents, measures), larger is better.
        level: Error rate of one comparison.

    Returns:
        shape (candidates, candidates): whether the second is better than the first on every measure.
    """
    bound = -NormalDist().inv_cdf(min(level / TAIL, 0.5))
    shown = np.ones((len(numbers), len(numbers)), dtype=np.bool_)
    for index, mine in enumerate(numbers):
        difference = numbers - mine
        spread = np.sqrt((difference**2).sum(axis=1))
        above = difference.sum(axis=1) > bound * spread
        shown[index] = (above & (spread > 0)).all(axis=1)
    return shown
