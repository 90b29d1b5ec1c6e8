"""What a search is told of its candidates: a number for each objective, and which of them failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    """

    values: NDArray[np.float64]
    failed: NDArray[np.bool_]
    weights: NDArray[np.float64]


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
