"""Neighbours of the winner, and what small changes of it cost."""

from __future__ import annotations

import numpy as np
import pytest

from tsugiki.config.run import Flatness as Settings
from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.outcome import Failed
from tsugiki.contracts.population import Generation, Ranked
from tsugiki.finalists.flatness import flatness_of, neighbour_population, neighbours

ZERO = "0" * 64


def test_neighbours_are_a_step_away_in_all_numbers_and_indicators_stay() -> None:
    """Standard deviation and mean of the changes; each key has its own."""
    genome = np.full(400, 0.5)
    kinds = GeneKinds(np.arange(400) < 100, np.full(400, -1))
    found = np.array(neighbours(genome, kinds, 20, 0.05, (1, "a")))
    assert (found[:, :100] == 0.5).all()
    changes = found[:, 100:] - 0.5
    assert changes.std() == pytest.approx(0.05, rel=0.05)
    assert abs(changes.mean()) < 5 * 0.05 / np.sqrt(changes.size)
    again, other = (np.array(neighbours(genome, kinds, 20, 0.05, (1, key))) for key in "ab")
    assert np.array_equal(found, again)
    assert not np.array_equal(found, other)
    more = neighbours(genome, kinds, 30, 0.05, (1, "a"))
    assert np.array_equal(found, more[:20])


def test_neighbours_stay_in_the_cube() -> None:
    """At a corner half of the changes end at the wall."""
    found = np.array(neighbours(np.ones(100), GeneKinds.numbers(100), 10, 0.1, (1,)))
    assert found.max() == 1.0
    assert 0.4 < (found == 1.0).mean() < 0.6


def test_where_all_genes_are_indicators_one_of_them_changes() -> None:
    """Each neighbour is on or off at one place more, or less."""
    genome = np.array([0.0, 1.0, 1.0, 0.0])
    kinds = GeneKinds(np.ones(4, dtype=np.bool_), np.full(4, -1))
    found = np.array(neighbours(genome, kinds, 12, 0.05, (1,)))
    assert (np.abs(found - genome).sum(axis=1) == 1).all()
    assert len({tuple(one) for one in found}) > 1


def test_losses_are_the_winners_score_minus_the_neighbours() -> None:
    """Of those that did not fail: 0.5 - 0.4, 0.5 - 0.55 and 0.5 - 0.3."""
    failure = Failed(recipe=ZERO, evaluation=ZERO, kind="model", reason="NaN")

    def ranked(fitness: float | None) -> Ranked:
        return Ranked(id="000-00", recipe=ZERO, fitness=fitness, outcome=failure)

    def of(*scores: float | None) -> Generation:
        return Generation(
            run="r",
            series="flatness",
            generation=0,
            population=ZERO,
            ranked=tuple(ranked(one) for one in scores),
        )

    settings = Settings(candidates=4, step=0.1)
    found = flatness_of(settings, ranked(0.5), of(0.4, None, 0.55, 0.3), answers=60, tokens=180)
    assert (found.candidates, found.failed, found.answers, found.tokens) == (4, 1, 60, 180)
    assert found.mean == pytest.approx(0.25 / 3)
    assert found.worst == pytest.approx(0.2)
    nothing = flatness_of(settings, ranked(0.5), of(None, None), answers=0, tokens=0)
    assert (nothing.failed, nothing.mean, nothing.worst) == (2, None, None)


def test_neighbours_are_scored_on_validation_items() -> None:
    """Never on those of the test."""
    population = neighbour_population("r", [np.array([0.2, 0.4])], [ZERO])
    assert population.split == "validation"
    assert population.candidates[0].genome == (0.2, 0.4)
    assert population.candidates[0].origin["kind"] == "neighbour"
