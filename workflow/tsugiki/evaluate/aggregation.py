"""What a task makes of its documents: the aggregation of a metric, by a name that can be recorded.

Where it depends on sums over documents alone, as corpus metrics do, samples of documents need no text
again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import EvaluationError, LineageError
from tsugiki.evaluate import groups
from tsugiki.evaluate.statistics import Floats, Places, Statistic

SEGMENTS = 100_000
"""Answers whose counts are kept."""

OfSums = Callable[[Floats], Floats]
"""From sums, shape (samples, numbers), to values, shape (samples,)."""
Corpus = tuple[Floats, OfSums]
"""Each document's numbers, shape (documents, numbers), and what their sums make."""


def corpus_sums(name: str, parts: Sequence[Any]) -> Statistic | None:
    """The values of samples of documents; None if the metric is none of these.

    Args:
        name: The aggregation's name in lm-eval.
        parts: What each document contributes.
    """
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
        case groups.MEAN | groups.SMALLEST | groups.LARGEST:
            return groups.sums(name, parts)
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


OWN = "!function "
"""Before the name of an aggregation that a task's code defines."""


@dataclass(frozen=True)
class Aggregation:
    """How the value of a metric follows from its documents' parts, where it is not their mean."""

    name: str
    """As lm-eval registers it, or `!function` and the function's name in the task's code."""
    function: Callable[[Sequence[Any]], Any]

    def __call__(self, parts: Sequence[Any]) -> float:
        """The value over documents.

        Args:
            parts: What each document contributes, as `read_part` returns it.

        Raises:
            EvaluationError: these parts have no finite value.
        """
        try:
            value = float(self.function(list(parts)))
        except Exception as error:
            from tsugiki.evaluate.faults import is_machine_fault  # imports torch

            if is_machine_fault(error):
                raise
            raise EvaluationError(
                f"aggregation `{self.name}` failed", got=f"{type(error).__name__}: {error}"
            ) from error
        if not math.isfinite(value):
            raise EvaluationError(f"aggregation `{self.name}` has no finite value", got=str(value))
        return value

    def statistic(self, parts: Sequence[Any]) -> Statistic:
        """The value over samples of documents, each given by the places of its parts.

        Aggregations of lm-eval that depend on sums alone are computed from these. NaN where a
        sample has no value.
        """
        if (sums := corpus_sums(self.name, parts)) is not None:
            return sums

        def value(places: Sequence[int]) -> float:
            try:
                return self([parts[place] for place in places])
            except EvaluationError:
                return math.nan

        def values(samples: Places) -> Floats:
            return np.array([value(places) for places in samples.tolist()], dtype=np.float64)

        return values


def aggregation_of(task: Any, metric: str) -> Aggregation | None:
    """How an lm-eval task aggregates a metric; None for the mean.

    Args:
        task: The task.
        metric: Key of the metric, filter included.
    """
    from lm_eval.api.metrics import mean
    from lm_eval.api.registry import AGGREGATION_REGISTRY

    # lm-eval takes the mean of what a task reports but does not list
    function = task.aggregation().get(metric.partition(",")[0], mean)
    if function is mean:
        return None
    for name, registered in AGGREGATION_REGISTRY.items():
        if registered is function:
            return Aggregation(name, function)
    named = getattr(function, "func", function)  # of a functools.partial
    return Aggregation(f"{OWN}{getattr(named, '__name__', type(named).__name__)}", function)


def aggregation_of_group(aggregate: str | None, *, larger: bool) -> Aggregation | None:
    """How the values of a group's tasks become one; None for the mean over documents.

    Args:
        aggregate: As the configuration has it.
        larger: Whether larger values are better.
    """
    name = groups.name_of(aggregate, larger=larger)
    function = None if name is None else groups.function_of(name)
    return None if name is None or function is None else Aggregation(name, function)


class Aggregations:
    """Finds aggregations by their recorded names; loads tasks only for those that are their own."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._own: Mapping[str, Aggregation | None] | None = None

    def find(self, objective: str, name: str | None) -> Aggregation | None:
        """The aggregation of an objective; None for the mean.

        Args:
            objective: Name of the objective or monitor.
            name: The aggregation's name, as an outcome records it.

        Raises:
            LineageError: neither lm-eval nor the task has it.
        """
        if name is None:
            return None
        if (of_group := groups.function_of(name)) is not None:
            return Aggregation(name, of_group)
        if not name.startswith(OWN):
            from lm_eval.api.registry import get_aggregation

            function = get_aggregation(name)
            found = None if function is None else Aggregation(name, function)
        else:
            found = self._of_tasks().get(objective)
        if found is None or found.name != name:
            raise LineageError(
                f"`{objective}` was aggregated in a way that is not known here",
                where="outcome.json",
                expected=name,
                got="the mean" if found is None else found.name,
                fix="restore the task, or the version of lm-eval, that scored it",
            )
        return found

    def _of_tasks(self) -> Mapping[str, Aggregation | None]:
        if self._own is None:
            from tsugiki.evaluate.evaluators.harness import Harness

            self._own = Harness(self._evaluation).aggregations
        return self._own


def plain(value: Any) -> Any:
    """What a document contributes, as JSON can hold it: numpy's numbers and arrays become plain."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


def finite_number(value: Any) -> float | None:
    """A finite number, or None: some metrics are only defined over all documents."""
    value = plain(value)
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    return None


def restored(value: Any) -> Any:
    """What is left of a document's contribution once it was recorded, as a number or as JSON.

    Raises:
        TypeError: it is no plain data.
    """
    number = finite_number(value)
    return read_part(write_part(value)) if number is None else number


def write_part(value: Any) -> str:
    """The JSON text of what a document contributes.

    Raises:
        TypeError: it is no plain data.
    """
    return json.dumps(plain(value), ensure_ascii=False, sort_keys=True)


def read_part(text: str) -> Any:
    """What `write_part` wrote; a list as a tuple, as lm-eval's own parts are."""
    value = json.loads(text)
    return tuple(value) if isinstance(value, list) else value
