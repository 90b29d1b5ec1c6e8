"""What a search is told of its candidates: a number for each objective, and which of them failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.errors import LineageError


class Direction(Protocol):
    """What scores need to know of an objective."""

    @property
    def name(self) -> str:
        """As outcomes have it."""
        ...

    @property
    def sign(self) -> float:
        """1 if larger is better, -1 if smaller is."""
        ...

    @property
    def weight(self) -> float:
        """How much it counts in a weighted sum; positive."""
        ...


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of candidates, in their order.

    Attributes:
        values: float64, shape (population, objectives). Larger is better: objectives that are
            minimised are negated. Rows of failures are NaN.
        failed: bool, shape (population,).
        weights: float64, shape (objectives,): how much each counts where one number is needed.
        left: bool, shape (population,): left at a rung, so that the values are of other documents
            and lowered; None where nobody was.
        by_document: float64, shape (population, documents, objectives): each document's own number,
            larger is better; NaN where it is none, for failures, and for those left at a rung. Only
            for strategies that ask for it (`Strategy.by_document`).
    """

    values: NDArray[np.float64]
    failed: NDArray[np.bool_]
    weights: NDArray[np.float64]
    left: NDArray[np.bool_] | None = None
    by_document: NDArray[np.float64] | None = None

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Who was scored on all documents; shape (population,)."""
        return ~self.failed if self.left is None else ~(self.failed | self.left)


def scores_of(outcomes: Iterable[Scored | Failed], objectives: Sequence[Direction]) -> Scores:
    """The scores that outcomes hold.

    Raises:
        LineageError: an outcome lacks an objective.
    """
    rows = [_row(outcome, objectives) for outcome in outcomes]
    return Scores(
        values=np.array([row or [np.nan] * len(objectives) for row in rows], dtype=np.float64)
        .reshape(len(rows), len(objectives)),
        failed=np.array([row is None for row in rows], dtype=np.bool_),
        weights=np.array([one.weight for one in objectives], dtype=np.float64),
    )  # fmt: skip


def _row(outcome: Scored | Failed, objectives: Sequence[Direction]) -> list[float] | None:
    if isinstance(outcome, Failed):
        return None
    for objective in objectives:
        if objective.name not in outcome.measured:
            raise LineageError(
                "an outcome lacks an objective",
                where=f"recipe {outcome.recipe}",
                expected=objective.name,
                got=", ".join(sorted(outcome.measured)),
                fix="evaluate the candidate again: remove its outcome.json",
            )
    return [one.sign * outcome.measured[one.name].value for one in objectives]


def further_first(scores: Scores, rungs: Sequence[int | None]) -> Scores:
    """Scores by which candidates that were left at a rung are behind all that came further.

    Values on other documents do not compare. So those of candidates that were left are lowered together, on
    each objective, below the worst of those that came further, by the spread of all (by 1 if they have
    none). Their order among each other stays, and so do values on all documents. `rungs` say at which rung
    each one was left; None for those that were scored on all documents.
    """
    if all(rung is None for rung in rungs):
        return scores
    values = scores.values.copy()
    known = ~scores.failed
    places = np.array([np.inf if rung is None else rung for rung in rungs])
    spread = np.ptp(values[known], axis=0) if known.any() else np.zeros(values.shape[1])
    margin = np.where(spread > 0, spread, 1.0)
    worst = np.full(values.shape[1], np.inf)
    for rung in sorted(set(places[known]), reverse=True):
        here = known & (places == rung)
        excess = values[here].max(axis=0) - (worst - margin)
        values[here] -= np.where(np.isfinite(worst), np.maximum(excess, 0.0), 0.0)
        worst = values[here].min(axis=0)
    left = np.array([rung is not None for rung in rungs], dtype=np.bool_)
    return replace(scores, values=values, left=left)


def nondominated(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whom no other dominates: none is as good on every objective, and better on one.

    Args:
        values: shape (candidates, objectives), larger is better.

    Returns:
        shape (candidates,).
    """
    found = np.ones(len(values), dtype=np.bool_)
    for index, mine in enumerate(values):
        if found[index]:
            found &= ~((values <= mine).all(axis=1) & (values < mine).any(axis=1))
    return found


def weighted_sum(scores: Scores) -> NDArray[np.float64]:
    """One number for each candidate, larger is better, all finite.

    A failure lies below the worst score by the whole spread of the scores (by 1 if they have none),
    so that a search feels it; where everything failed, all are 0.

    Returns:
        float64, shape (population,).
    """
    total = np.zeros(len(scores.failed))
    for weight, values in zip(scores.weights, scores.values.T, strict=True):
        total += weight * values
    known = total[~scores.failed]
    if not known.size:
        return np.zeros_like(total)
    spread = known.max() - known.min()
    total[scores.failed] = known.min() - (spread if spread > 0 else 1.0)
    return total
