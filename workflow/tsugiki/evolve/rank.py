"""The ledger's entry of a generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tsugiki.canonical import digest_bytes
from tsugiki.config.evaluation import Objective
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.contracts.population import Generation, Population, Ranked
from tsugiki.contracts.scores import scores_of, weighted_sum


def fitness_of(outcome: Scored | Failed, objectives: Sequence[Objective]) -> float | None:
    """Weighted sum of the objectives, larger is better; None for a failure, or on some documents only.

    Raises:
        LineageError: the outcome lacks an objective.
    """
    if isinstance(outcome, Failed) or outcome.rung is not None:
        return None
    return float(weighted_sum(scores_of([outcome], objectives))[0])


def rank(
    population: Population,
    population_bytes: bytes,
    outcomes: Mapping[str, Scored | Failed],
    objectives: Sequence[Objective],
    *,
    weighed: bool = True,
    estimates: Mapping[str, Mapping[str, float]] | None = None,
) -> Generation:
    """The ledger's entry for a generation.

    `outcomes` and `estimates` are by recipe digest; the weighted sum, which a Pareto strategy has no use
    for, is recorded if `weighed`.

    Raises:
        LineageError: an outcome lacks an objective.
    """
    found = [outcomes[candidate.recipe] for candidate in population.candidates]
    return Generation(
        run=population.run,
        phase=population.phase,
        generation=population.generation,
        population=digest_bytes(population_bytes),
        ranked=tuple(
            Ranked(
                id=candidate.id,
                recipe=candidate.recipe,
                fitness=fitness_of(outcome, objectives) if weighed else None,
                outcome=outcome,
                estimated=(estimates or {}).get(candidate.recipe),
            )
            for candidate, outcome in zip(population.candidates, found, strict=True)
        ),
    )
