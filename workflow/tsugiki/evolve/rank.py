"""Fitness of outcomes. Failures have none, and rank last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tsugiki.canonical import digest_bytes
from tsugiki.config.evaluation import Objective
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.contracts.population import Generation, Population, Ranked
from tsugiki.errors import LineageError


def fitness_of(outcome: Scored | Failed, objectives: Sequence[Objective]) -> float | None:
    """Weighted sum of the objectives, larger is better; None for a failure, or on some documents only.

    Raises:
        LineageError: the outcome lacks an objective.
    """
    if isinstance(outcome, Failed) or outcome.rung is not None:
        return None
    total = 0.0
    for objective in objectives:
        if objective.name not in outcome.measured:
            raise LineageError(
                "an outcome lacks an objective",
                where=f"recipe {outcome.recipe}",
                expected=objective.name,
                got=", ".join(sorted(outcome.measured)),
                fix="evaluate the candidate again: remove its outcome.json",
            )
        total += objective.sign * objective.weight * outcome.measured[objective.name].value
    return total


def rank(
    population: Population,
    population_bytes: bytes,
    outcomes: Mapping[str, Scored | Failed],
    objectives: Sequence[Objective],
) -> Generation:
    """The ledger's entry for a generation.

    Args:
        population: The candidates.
        population_bytes: The file they were read from.
        outcomes: By recipe digest.
        objectives: What fitness is made of.
    """
    return Generation(
        run=population.run,
        series=population.series,
        generation=population.generation,
        population=digest_bytes(population_bytes),
        ranked=tuple(
            Ranked(
                id=candidate.id,
                recipe=candidate.recipe,
                fitness=fitness_of(outcomes[candidate.recipe], objectives),
                outcome=outcomes[candidate.recipe],
            )
            for candidate in population.candidates
        ),
    )


def finite_fitness(generation: Generation) -> list[float]:
    """Fitness in population order, with failures below every score.

    Optimisers compare numbers; NaN compares wrongly with all of them, so it never leaves here.
    """
    scores = [entry.fitness for entry in generation.ranked if entry.fitness is not None]
    if not scores:
        return [0.0] * len(generation.ranked)
    spread = max(scores) - min(scores)
    last = min(scores) - (spread if spread > 0 else 1.0)
    return [last if entry.fitness is None else entry.fitness for entry in generation.ranked]
