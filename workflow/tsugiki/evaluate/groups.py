"""How the values of a group's tasks become one, as functions of what each document contributes.

A document of a group contributes `(task, value)`. The mean over all documents needs no function of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tsugiki.evaluate.statistics import Floats

MEAN, SMALLEST, LARGEST = "mean of tasks", "smallest of tasks", "largest of tasks"
"""Names of aggregations, as outcomes record them: the mean of the tasks' means, or one of these."""

Part = tuple[str, float]

_OF_MEANS: Mapping[str, Callable[[Floats], Floats]] = {
    MEAN: lambda means: np.asarray(np.nanmean(means, axis=-1)),
    SMALLEST: lambda means: np.asarray(np.nanmin(means, axis=-1)),
    LARGEST: lambda means: np.asarray(np.nanmax(means, axis=-1)),
}


def name_of(aggregate: str | None, *, larger: bool) -> str | None:
    """The aggregation of a group, by name; None for the mean over documents.

    Args:
        aggregate: As the configuration has it: `mean`, `weighted` or `worst`.
        larger: Whether larger values are better.
    """
    if aggregate == "worst":
        return SMALLEST if larger else LARGEST
    return MEAN if aggregate == "mean" else None


def function_of(name: str) -> Callable[[Sequence[Part]], float] | None:
    """The aggregation of that name over documents; None if it is none of a group."""
    if name not in _OF_MEANS:
        return None

    def value(parts: Sequence[Part]) -> float:
        numbers, of_sums = sums(name, parts)
        return float(of_sums(numbers.sum(axis=0, keepdims=True))[0])

    return value


def sums(name: str, parts: Sequence[Any]) -> tuple[Floats, Callable[[Floats], Floats]]:
    """Each document's numbers, and what their sums over a sample of documents make.

    A task that a sample has no document of takes no part in it.

    Args:
        name: Of the aggregation.
        parts: What each document contributes.

    Returns:
        Numbers, shape (documents, 2 x tasks): values and counts. A function from sums, shape (samples,
        2 x tasks), to values, shape (samples,).
    """
    tasks = sorted({str(task) for task, _ in parts})
    numbers = np.zeros((len(parts), 2 * len(tasks)))
    for place, (task, value) in enumerate(parts):
        column = tasks.index(task)
        numbers[place, column], numbers[place, len(tasks) + column] = value, 1.0

    def values(totals: Floats) -> Floats:
        added, counts = totals[:, : len(tasks)], totals[:, len(tasks) :]
        with np.errstate(invalid="ignore"):
            return _OF_MEANS[name](added / counts)

    return numbers, values
