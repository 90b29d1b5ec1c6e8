"""Values that depend on sums over documents alone: of corpus metrics, and of groups of tasks.

Samples of documents need no text again for them. A document of a group contributes `(task, value)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from tsugiki.evaluate.statistics import Floats, Places, Statistic

SEGMENTS = 100_000
"""Answers whose counts are kept."""

OfSums = Callable[[Floats], Floats]
"""From sums, shape (samples, numbers), to values, shape (samples,)."""
Corpus = tuple[Floats, OfSums]
"""Each document's numbers, shape (documents, numbers), and what their sums make."""


MEAN, SMALLEST, LARGEST = "mean of tasks", "smallest of tasks", "largest of tasks"
"""Names of aggregations, as outcomes record them: the mean of the tasks' means, or one of these."""

OF_TASKS: Mapping[str, Callable[[Floats], Floats]] = {
    MEAN: lambda means: np.asarray(np.nanmean(means, axis=-1)),
    SMALLEST: lambda means: np.asarray(np.nanmin(means, axis=-1)),
    LARGEST: lambda means: np.asarray(np.nanmax(means, axis=-1)),
}


def corpus_sums(name: str, parts: Sequence[Any]) -> Statistic | None:
    """The values of samples of documents, from what each contributes; None if the aggregation (lm-eval's name) is none of these."""
    try:
        corpus = _corpus(name, parts)
    except (TypeError, ValueError):  # not the parts that lm-eval's own metrics have
        return None
    if corpus is None:
        return None
    numbers, of_sums = corpus

    def values(samples: Places) -> Floats:
        sums = np.stack([numbers[places].sum(axis=0) for places in samples])
        with np.errstate(all="ignore"):  # a sample without a value is NaN
            return of_sums(sums)

    return values


def _corpus(name: str, parts: Sequence[Any]) -> Corpus | None:
    if name in OF_TASKS:
        return sums_of_tasks(name, parts)
    match name:
        case "perplexity":
            return _weighted([(part, 1.0) for part in parts], lambda mean: np.exp(-mean))
        case "weighted_perplexity":
            return _weighted(parts, lambda mean: np.exp(-mean))
        case "bits_per_byte":
            return _weighted(parts, lambda mean: -mean / math.log(2))
        case "f1":
            return _f1(parts)
        case "matthews_corrcoef":
            return _matthews(parts)
        case "bleu" | "chrf" | "chrf++" | "ter":
            return _translation(name, parts)
        case _:
            return None


def _weighted(parts: Sequence[Any], of_mean: OfSums) -> Corpus:
    numbers = np.array(parts, dtype=np.float64)
    return numbers, lambda sums: of_mean(sums[:, 0] / sums[:, 1])


def _f1(parts: Sequence[Any]) -> Corpus | None:
    """Of the class 1, as scikit-learn's: 0 where neither gold nor predicted holds it."""
    pairs = np.array(parts, dtype=np.float64)
    if not np.isin(pairs, (0.0, 1.0)).all():
        return None
    gold, predicted = pairs.T
    numbers = np.stack([gold * predicted, gold + predicted], axis=1)
    return numbers, lambda sums: 2 * sums[:, 0] / np.maximum(sums[:, 1], 1.0)


def _matthews(parts: Sequence[Any]) -> Corpus:
    """Matthews' correlation of classes; 0 where gold or predictions are of one class.

    Source: Gorodkin (2004), "Comparing two K-category assignments by a K-category correlation
    coefficient", and scikit-learn for the 0.
    """
    classes, pairs = np.unique(np.array(parts), return_inverse=True)
    count = classes.size
    pairs = pairs.reshape(-1, 2)
    numbers = np.zeros((len(parts), count * count))
    numbers[np.arange(len(parts)), pairs[:, 0] * count + pairs[:, 1]] = 1.0

    def values(sums: Floats) -> Floats:
        table = sums.reshape(-1, count, count)
        gold, predicted = table.sum(axis=2), table.sum(axis=1)
        total = gold.sum(axis=1)
        right = np.trace(table, axis1=1, axis2=2)
        together = right * total - (gold * predicted).sum(axis=1)
        apart = (total**2 - (gold**2).sum(axis=1)) * (total**2 - (predicted**2).sum(axis=1))
        found: Floats = np.divide(
            together, np.sqrt(apart), out=np.zeros_like(together), where=apart > 0
        )
        return found

    return numbers, values


def _translation(name: str, parts: Sequence[Any]) -> Corpus:
    """From sacrebleu's own counts of each segment."""
    from lm_eval.api.metrics import _sacreformat

    references, answers = _sacreformat(*zip(*parts, strict=True))
    segments = zip(answers, *references, strict=True)
    numbers = np.array([_segment(name, *segment) for segment in segments], dtype=np.float64)
    score = _metric(name)._compute_score_from_stats  # noqa: SLF001 - as in _segment

    def values(sums: Floats) -> Floats:
        return np.array([score(row.tolist()).score for row in sums])

    return numbers, values


@cache
def _metric(name: str) -> Any:
    from lm_eval.api.metrics import sacrebleu

    makers: dict[str, Callable[[], Any]] = {
        "bleu": sacrebleu.BLEU,
        "chrf": sacrebleu.CHRF,
        "chrf++": lambda: sacrebleu.CHRF(word_order=2),
        "ter": sacrebleu.TER,
    }
    return makers[name]()


@lru_cache(maxsize=SEGMENTS)
def _segment(name: str, answer: str, *references: str) -> Sequence[float]:
    """What a segment adds to the counts; a model is compared with many others."""
    # sacrebleu has no public way to its counts; its own significance tests take this one
    count = _metric(name)._extract_corpus_statistics  # noqa: SLF001
    (found,) = count([answer], [[one] for one in references])
    counts: Sequence[float] = found
    return counts


def group_aggregation(aggregate: str | None, *, larger: bool) -> str | None:
    """The aggregation of a group, by name; None for the mean over documents."""
    if aggregate == "worst":
        return SMALLEST if larger else LARGEST
    return MEAN if aggregate == "mean" else None


@cache
def of_tasks(name: str) -> Callable[[Sequence[tuple[str, float]]], float]:
    """The aggregation of that name (of `OF_TASKS`) over documents."""

    def value(parts: Sequence[tuple[str, float]]) -> float:
        numbers, of_sums = sums_of_tasks(name, parts)
        return float(of_sums(numbers.sum(axis=0, keepdims=True))[0])

    return value


def sums_of_tasks(name: str, parts: Sequence[Any]) -> tuple[Floats, Callable[[Floats], Floats]]:
    """Each document's numbers, and what their sums over a sample of documents make.

    A task that a sample has no document of takes no part in it.

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
            return OF_TASKS[name](added / counts)

    return numbers, values
