"""How far the candidates of a generation lie apart, and how much of that the choice of documents explains.

All candidates of a generation answer the same documents. A document that is hard for all moves all scores
alike, and tells nothing of their order: noise is what is left of a document's value when the candidate's
mean and the document's mean are taken off, the residual of a two-way layout without replication (Fisher
1925, "Statistical methods for research workers", section 41).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tsugiki.contracts.layout import PhaseFiles
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.population import Generation
from tsugiki.contracts.samples import read_values
from tsugiki.contracts.scores import Direction

Array = NDArray[np.float64]
CONFIDENCE = 0.95
FEWEST = 2
"""Candidates, and documents of each task, without which nothing can be said."""


class OnDocuments(Direction, Protocol):
    """What is needed of an objective."""

    @property
    def task(self) -> str:
        """Where its documents come from."""
        ...


@dataclass(frozen=True, eq=False)
class Spread:
    """The weighted sum of the objectives over the candidates of a generation.

    Attributes:
        candidates: How many distinct ones were scored.
        observed: Variance of their scores.
        noise: What the choice of documents adds to it, in the mean.
        means: By task and document, the mean over candidates of what it adds to the weighted sum.
    """

    candidates: int
    observed: float
    noise: float
    means: Mapping[str, Mapping[int, float]]

    @property
    def signal(self) -> float | None:
        """Share of the variance that is no noise, 0 to 1; None where all scores are equal."""
        return max(0.0, 1 - self.noise / self.observed) if self.observed > 0 else None

    @property
    def is_noise(self) -> bool:
        """Whether the noise alone explains the variance: F test of the candidates, at 95 %.

        The residual has so many degrees of freedom that F is chi-squared, whose quantile is by Wilson and
        Hilferty (1931).
        """
        freedom = self.candidates - 1
        part = 2 / (9 * freedom)
        limit = (1 - part + NormalDist().inv_cdf(CONFIDENCE) * math.sqrt(part)) ** 3
        return self.observed <= limit * self.noise


def spread(tables: Mapping[str, tuple[Sequence[int], Array]]) -> Spread:
    """Take a generation's scores apart.

    Args:
        tables: By task: document ids, and what each adds to a candidate's weighted sum where it is one of
            the task's documents, shape (candidates, documents), at least 2 of each. The score is the sum
            over tasks of the mean over documents.
    """
    score, noise = 0.0, 0.0
    means: dict[str, dict[int, float]] = {}
    count = 0
    for task, (documents, table) in tables.items():
        count, size = table.shape
        of_candidates, of_documents = table.mean(axis=1), table.mean(axis=0)
        residual = table - of_candidates[:, None] - of_documents + table.mean()
        noise += float((residual**2).sum()) / ((count - 1) * (size - 1)) / size
        score = score + of_candidates
        means[task] = dict(zip(documents, of_documents.tolist(), strict=True))
    return Spread(count, float(np.var(score, ddof=1)), noise, means)


def risen(earlier: Spread, later: Spread) -> bool | None:
    """Whether the mean of a generation is above that of an earlier one by more than its standard error.

    The error is of the documents, on those that both generations answered, and of the candidates.

    Returns:
        None where they share too few documents of a task.
    """
    difference = 0.0
    variance = earlier.observed / earlier.candidates + later.observed / later.candidates
    for task, means in later.means.items():
        before = earlier.means.get(task, {})
        changes = np.array([means[one] - before[one] for one in means if one in before])
        if changes.size < FEWEST:
            return None
        difference += float(changes.mean())
        variance += float(changes.var(ddof=1)) / changes.size
    return difference > math.sqrt(variance)


def read_spread(
    phase: PhaseFiles, generation: Generation, objectives: Sequence[OnDocuments]
) -> Spread | None:
    """The spread of a ranked generation, on the documents that all its scored candidates answered.

    Returns:
        None where an objective is no mean over documents, or there are fewer than two candidates or
        documents.

    Raises:
        LineageError: the record of a candidate's documents is missing or damaged.
    """
    scored = {
        one.recipe: one.outcome for one in generation.ranked if isinstance(one.outcome, Scored)
    }
    means = all(
        one.name in outcome.measured and outcome.measured[one.name].aggregation is None
        for outcome in scored.values()
        for one in objectives
    )
    if len(scored) < FEWEST or not means:
        return None
    found = [
        _by_document(
            phase.candidate(recipe).of(generation.own_documents).at(outcome.rung).items, objectives
        )
        for recipe, outcome in scored.items()
    ]
    tables: dict[str, tuple[Sequence[int], Array]] = {}
    for task in dict.fromkeys(one.task for one in objectives):
        shared = sorted(set.intersection(*(set(one[task]) for one in found)))
        if len(shared) < FEWEST:
            return None
        rows = [[one[task][document] for document in shared] for one in found]
        tables[task] = (shared, np.array(rows, dtype=np.float64))
    return spread(tables)


def _by_document(path: Path, objectives: Sequence[OnDocuments]) -> dict[str, dict[int, float]]:
    """By task and document, what it adds to a candidate's weighted sum."""
    found: dict[str, dict[int, float]] = {one.task: {} for one in objectives}
    values = read_values(path)
    for one in objectives:
        of_task = found[one.task]
        for document, value in values.get(one.name, {}).items():
            if not math.isnan(value):
                of_task[document] = of_task.get(document, 0.0) + one.sign * one.weight * value
    return found
