"""How a metric is aggregated over documents: functions known by a name that can be recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import EvaluationError, LineageError
from tsugiki.evaluate.corpus_sums import OF_TASKS, corpus_sums, group_aggregation, of_tasks
from tsugiki.evaluate.statistics import Floats, Places, Statistic

OWN = "!function "
"""Before the name of an aggregation that a task's code defines."""


@dataclass(frozen=True)
class Aggregation:
    """How the value of a metric that is not a mean is computed from what each document contributes (its part)."""

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
    """How an lm-eval task aggregates a metric; None for the mean."""
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
        aggregate: As the configuration has it: `mean`, `weighted` or `worst`.
        larger: Whether larger values are better.
    """
    name = group_aggregation(aggregate, larger=larger)
    return None if name is None else Aggregation(name, of_tasks(name))


class Aggregations:
    """Finds aggregations by their recorded names; loads tasks only for those that are their own."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation

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
        if name in OF_TASKS:
            return Aggregation(name, of_tasks(name))
        if name.startswith(OWN):
            found = self._of_tasks.get(objective)
        else:
            from lm_eval.api.registry import get_aggregation

            function = get_aggregation(name)
            found = None if function is None else Aggregation(name, function)
        if found is None or found.name != name:
            raise LineageError(
                f"`{objective}` was aggregated in a way that is not known here",
                where="outcome.json",
                expected=name,
                got="the mean" if found is None else found.name,
                fix="restore the task, or the version of lm-eval, that scored it",
            )
        return found

    @cached_property
    def _of_tasks(self) -> Mapping[str, Aggregation | None]:
        from tsugiki.evaluate.evaluators.harness import Harness

        return Harness(self._evaluation).aggregations


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
