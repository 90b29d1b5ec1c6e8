"""The course of a series in numbers: best, spread and failures of every generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsugiki.contracts.population import Generation, Ranked


@dataclass(frozen=True)
class Summary:
    """Fitness in one generation. The numbers are None where every candidate failed."""

    number: int
    candidates: int
    failures: int
    best: float | None
    upper: float | None
    """Upper quartile."""
    median: float | None
    lower: float | None
    """Lower quartile."""
    mean: float | None
    spread: float | None
    """Standard deviation over the scored candidates."""
    best_so_far: float | None
    """Best of this and all earlier generations."""


def summarise(generations: Sequence[Generation]) -> list[Summary]:
    """Summarise consecutive generations of one series."""
    summaries: list[Summary] = []
    for generation in generations:
        before = summaries[-1].best_so_far if summaries else None
        summaries.append(_summary(generation, before))
    return summaries


def failures(generation: Generation) -> int:
    """How many candidates have no score."""
    return sum(entry.outcome.status == "failed" for entry in generation.ranked)


def only_fitness(generation: Generation) -> float | None:
    """The fitness that all scored candidates have, where there are two recipes or more; else None."""
    of_recipes = {one.recipe: one.fitness for one in generation.ranked if one.fitness is not None}
    values = set(of_recipes.values())
    return values.pop() if len(of_recipes) > 1 and len(values) == 1 else None


def best_candidate(generations: Sequence[Generation]) -> Ranked | None:
    """The candidate of largest fitness, the first of equals; None where every one failed."""
    scored = [
        entry
        for generation in generations
        for entry in generation.ranked
        if entry.fitness is not None
    ]
    return max(scored, key=lambda entry: entry.fitness or 0.0, default=None)


def _summary(generation: Generation, before: float | None) -> Summary:
    scored = [entry.fitness for entry in generation.ranked if entry.fitness is not None]
    quartiles = np.quantile(scored, (0.25, 0.5, 0.75)).tolist() if scored else [None] * 3
    best = max(scored, default=None)
    return Summary(
        number=generation.generation,
        candidates=len(generation.ranked),
        failures=failures(generation),
        best=best,
        upper=quartiles[2],
        median=quartiles[1],
        lower=quartiles[0],
        mean=float(np.mean(scored)) if scored else None,
        spread=float(np.std(scored)) if scored else None,
        best_so_far=max((value for value in (best, before) if value is not None), default=None),
    )
