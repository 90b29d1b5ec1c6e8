"""Fitness of outcomes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsugiki.canonical import digest_bytes
from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.contracts.population import Candidate, Generation, Population, Ranked
from tsugiki.errors import LineageError
from tsugiki.evolve.rank import finite_fitness, fitness_of, rank

ZERO = "0" * 64
OBJECTIVES = [
    LmEvalObjective(name="right", task="t", metric="acc,none", weight=2.0),
    LmEvalObjective(name="perplexity", task="t", metric="ppl,none", goal="minimize", weight=0.5),
]


def scored(**values: float) -> Scored:
    """A candidate with these scores."""
    return Scored(
        recipe=ZERO,
        evaluation=ZERO,
        measured={name: Measured(value=value, items=4) for name, value in values.items()},
        rates={},
        weights=ZERO,
        records=ZERO,
    )


FAILED = Failed(recipe=ZERO, evaluation=ZERO, kind="model", reason="its logits are not finite")


def generation(fitness: list[float | None]) -> Generation:
    """A generation with these fitnesses; None is a failure."""
    return Generation(
        run="r",
        series="ps",
        generation=0,
        population=ZERO,
        ranked=tuple(
            Ranked(id=f"000-{n:02d}", recipe=ZERO, fitness=value, outcome=FAILED)
            for n, value in enumerate(fitness)
        ),
    )


def test_fitness_is_the_weighted_sum_with_costs_subtracted() -> None:
    """Twice 0.75, less half of 3."""
    assert fitness_of(scored(right=0.75, perplexity=3.0), OBJECTIVES) == 0.0
    assert fitness_of(scored(right=0.75, perplexity=2.0), OBJECTIVES) == 0.5


def test_a_failure_has_no_fitness() -> None:
    """Not zero: zero is a score."""
    assert fitness_of(FAILED, OBJECTIVES) is None


def test_an_outcome_without_an_objective_is_refused() -> None:
    """It was scored by another configuration."""
    with pytest.raises(LineageError, match="lacks an objective") as caught:
        fitness_of(scored(right=0.5), OBJECTIVES)
    assert caught.value.expected == "perplexity"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_cannot_be_written_down(value: float) -> None:
    """NaN compares greater than everything in DEAP, so it never gets that far."""
    with pytest.raises(ValueError, match="finite"):
        Measured(value=value, items=1)


def test_failures_rank_below_every_score() -> None:
    """By the whole spread of the generation, so that the search feels them."""
    assert finite_fitness(generation([0.9, None, 0.2])) == [0.9, 0.2 - 0.7, 0.2]
    assert finite_fitness(generation([0.5, None])) == [0.5, -0.5]
    assert finite_fitness(generation([None, None])) == [0.0, 0.0]


@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6, allow_nan=False)), min_size=1, max_size=40)
)
def test_what_reaches_a_strategy_is_finite_and_keeps_the_order(
    fitness: list[float | None],
) -> None:
    """Scores are passed on as they are; all failures are equal, and last."""
    told = finite_fitness(generation(fitness))
    assert all(math.isfinite(value) for value in told)
    scores = [value for value in fitness if value is not None]
    for value, given_ in zip(fitness, told, strict=True):
        if value is not None:
            assert given_ == value
        elif scores:
            assert given_ < min(scores)


def test_the_ledger_has_a_row_for_every_candidate_in_order() -> None:
    """Equal recipes share an outcome and have two rows; the population's bytes are named."""
    recipes = ["a" * 64, "b" * 64, "a" * 64]
    population = Population(
        run="r",
        series="ps",
        generation=3,
        split="search",
        previous=ZERO,
        state=ZERO,
        candidates=tuple(
            Candidate(id=f"003-{n:02d}", recipe=recipe, genome=(0.1 * n,), origin={})
            for n, recipe in enumerate(recipes)
        ),
    )
    outcomes: dict[str, Scored | Failed] = {
        "a" * 64: scored(right=1.0, perplexity=0.0),
        "b" * 64: FAILED,
    }
    entry = rank(population, b"the bytes", outcomes, OBJECTIVES)
    assert [one.id for one in entry.ranked] == ["003-00", "003-01", "003-02"]
    assert [one.fitness for one in entry.ranked] == [2.0, None, 2.0]
    assert entry.population == digest_bytes(b"the bytes")
    assert (entry.run, entry.series, entry.generation) == ("r", "ps", 3)
