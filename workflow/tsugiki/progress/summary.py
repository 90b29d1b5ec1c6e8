"""The course of a phase in numbers: best, spread and failures of every generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tsugiki.config.evaluation import Objective
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.outcome import is_whole
from tsugiki.contracts.population import Generation
from tsugiki.contracts.scores import Scores, scores_of, weighted_sum
from tsugiki.evaluate.documents import decided_evaluation


@dataclass(frozen=True)
class Course:
    """One measure over a generation's candidates. None where every candidate failed."""

    best: float | None = None
    upper: float | None = None
    """Upper quartile."""
    median: float | None = None
    lower: float | None = None
    """Lower quartile."""
    mean: float | None = None
    spread: float | None = None
    """Standard deviation over the scored candidates."""
    best_so_far: float | None = None
    """Best of this and all earlier generations; where each has documents of its own, the best mean of those
    that were asked by several."""


@dataclass(frozen=True)
class Summary:
    """One generation."""

    number: int
    candidates: int
    failures: int
    fitness: Course | None
    """Of the weighted sum of the objectives; None if the strategy weighs nothing."""
    objectives: dict[str, Course] = field(default_factory=dict)
    """Of each objective in its own unit, where there are several."""
    front: int | None = None
    """How many candidates of this and all earlier generations are on the front, if the strategy looks
    for one."""


def decided_objectives(files: RunFiles, config: RunConfig) -> list[Objective]:
    """The objectives of a run, each with its goal.

    Raises:
        LineageError: items.json is damaged.
    """
    return decided_evaluation(config, files.items).objectives


def summarise(
    generations: Sequence[Generation], objectives: Sequence[Objective], stage: Stage | None = None
) -> list[Summary]:
    """Summarise the generations of one phase, from the first one.

    Args:
        generations: They follow each other.
        objectives: What candidates are scored by, with their goals.
        stage: The stage that the phase is, if it is one.

    Raises:
        LineageError: an outcome lacks an objective.
    """
    found: list[Summary] = []
    front: dict[str, list[float]] | None = None
    for generation in generations:
        if stage is not None and not stage.strategy.weighs:
            front = _front(generation, objectives, stage, front or {})
        before = found[-1] if found else None
        found.append(_summary(generation, objectives, before, front))
    return found


def _front(
    generation: Generation,
    objectives: Sequence[Objective],
    stage: Stage,
    before: Mapping[str, list[float]],
) -> dict[str, list[float]]:
    """The front of an earlier one and a generation: scores by recipe, larger is better."""
    scores, rows = scores_of((one.outcome for one in generation.ranked), objectives), {**before}
    for entry, row in zip(generation.ranked, scores.values.tolist(), strict=True):
        if is_whole(entry.outcome):
            rows.setdefault(entry.recipe, row)  # it may come again
    together = np.array([*rows.values()]).reshape(-1, len(objectives))
    everyone = Scores(together, np.zeros(len(together), dtype=np.bool_), scores.weights)
    found = [*rows.items()]
    return dict(found[one] for one in stage.strategy.best(everyone, len(found)))


def _summary(
    generation: Generation,
    objectives: Sequence[Objective],
    before: Summary | None,
    front: Mapping[str, list[float]] | None,
) -> Summary:
    outcomes = [entry.outcome for entry in generation.ranked]
    scores = scores_of(outcomes, objectives)
    own = generation.own_documents is not None
    whole = np.array([is_whole(one) for one in outcomes], dtype=np.bool_)
    known = scores.values[whole]
    again = [one for one in outcomes if is_whole(one) and one.times > 1]
    by_mean = scores_of((one.overall for one in again), objectives)
    of_each = {
        one.name: _course(
            known[:, place],
            one.sign,
            None if before is None else before.objectives.get(one.name),
            by_mean.values[:, place] if own else None,
        )
        for place, one in enumerate(objectives)
    }
    fitness = None
    if front is None:
        weighed = weighted_sum(scores)[whole]
        summed = weighted_sum(by_mean) if own else None
        fitness = _course(weighed, 1.0, None if before is None else before.fitness, summed)
    return Summary(
        number=generation.generation,
        candidates=len(outcomes),
        failures=int(scores.failed.sum()),
        fitness=fitness,
        objectives=of_each if len(objectives) > 1 else {},
        front=None if front is None else len(front),
    )


def failures(generation: Generation) -> int:
    """How many candidates have no score."""
    return sum(entry.outcome.status == "failed" for entry in generation.ranked)


def only_score(
    generation: Generation, objectives: Sequence[Objective], stage: Stage
) -> tuple[float, ...] | None:
    """What all scored candidates have alike, where there are two recipes or more; else None.

    Returns:
        The weighted sum, or, if the strategy weighs nothing, the value of each objective.
    """
    of_recipes = {one.recipe: one.outcome for one in generation.ranked if is_whole(one.outcome)}
    scores = scores_of(of_recipes.values(), objectives)
    rows = weighted_sum(scores)[:, np.newaxis] if stage.strategy.weighs else scores.values
    values = {tuple(row) for row in rows.tolist()}
    return values.pop() if len(of_recipes) > 1 and len(values) == 1 else None


def _course(
    larger: NDArray[np.float64],
    sign: float,
    before: Course | None,
    again: NDArray[np.float64] | None = None,
) -> Course:
    """A generation's numbers after those `before` it; larger is better, whichever `sign` the objective has.

    `again` are the means of those that several generations asked, where each has documents of its own.
    """
    best_so_far = None if before is None else before.best_so_far
    if again is not None and again.size:
        best_so_far = sign * float(again.max())
    if not larger.size:
        return Course(best_so_far=best_so_far)
    values = sign * larger
    best = sign * float(larger.max())
    lower, median, upper = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    if again is None and (best_so_far is None or sign * best > sign * best_so_far):
        best_so_far = best
    return Course(
        best=best,
        upper=upper,
        median=median,
        lower=lower,
        mean=float(np.mean(values)),
        spread=float(np.std(values)),
        best_so_far=best_so_far,
    )
