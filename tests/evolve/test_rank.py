"""The ledger's entry of a generation."""

from __future__ import annotations

import pytest

from tests.contracts.test_scores import FAILED, OBJECTIVES, scored
from tsugiki.canonical import digest_bytes
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.contracts.population import Candidate, Population
from tsugiki.evolve.rank import fitness_of, rank

ZERO = "0" * 64


def test_a_failure_has_no_fitness() -> None:
    """Not zero: zero is a score."""
    assert fitness_of(FAILED, OBJECTIVES) is None
    assert fitness_of(scored(right=0.75, perplexity=3.0), OBJECTIVES) == 0.0


@pytest.mark.parametrize(
    ("weighed", "fitness"), [(True, [2.0, None, 2.0]), (False, [None, None, None])]
)
def test_the_ledger_has_a_row_for_every_candidate_in_order(
    weighed: bool, fitness: list[float | None]
) -> None:
    """Equal recipes share an outcome and have two rows; the population's bytes are named."""
    recipes = ["a" * 64, "b" * 64, "a" * 64]
    population = Population(
        run="r",
        phase="ps",
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
    entry = rank(population, b"the bytes", outcomes, OBJECTIVES, weighed=weighed)
    assert [one.id for one in entry.ranked] == ["003-00", "003-01", "003-02"]
    assert [one.fitness for one in entry.ranked] == fitness
    assert entry.population == digest_bytes(b"the bytes")
    assert (entry.run, entry.phase, entry.generation) == ("r", "ps", 3)
