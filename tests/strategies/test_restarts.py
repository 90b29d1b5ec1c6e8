"""Restarts: when a search ends, what the next one is, and populations larger than a generation."""

from __future__ import annotations

import numpy as np
import pytest

from tests.strategies.scored import scored
from tsugiki.contracts.genome import GeneKinds
from tsugiki.strategies.cma_es import CmaEs
from tsugiki.strategies.cma_es_margin import CmaEsMargin
from tsugiki.strategies.restarts import LEAST_STEP, Restarting, converged
from tsugiki.strategies.sep_cma import SeparableCmaEs
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import clip

GENES, SIZE = 4, 8
IPOP = CmaEs(population=SIZE, restarts="ipop")
SMALL_STEP = {"sigma": 1e-4}
"""Below the least step: each search ends with its first population."""


def sphere(genomes: Array) -> Array:
    """Minus the squared distance to a point."""
    return -((clip(genomes) - 0.3) ** 2).sum(axis=1)


def follow(strategy: Restarting, state: State, generations: int, seed: int = 1) -> list[State]:
    """States after each of some generations on the sphere."""
    states = []
    for generation in range(generations):
        genomes = np.array([one.genome for one in strategy.ask(state, (seed, generation))])
        assert len(genomes) == SIZE
        state = strategy.tell(state, genomes, scored(sphere(genomes)))
        states.append(state)
    return states


def test_without_restarts_neither_settings_nor_states_know_of_them() -> None:
    """What was recorded before stays as it is."""
    assert "restarts" not in CmaEs().model_dump()
    assert CmaEs(restarts="ipop").model_dump()["restarts"] == "ipop"
    state = CmaEs().initial(np.full(GENES, 0.5))
    assert set(state.scalars) == {"population", "sigma", "update_count"}


def test_until_it_converges_a_search_is_the_one_without_restarts() -> None:
    """Same points, same distribution."""
    plain = CmaEs(population=SIZE)
    states, expected = (follow(one, one.initial(np.full(GENES, 0.5)), 5) for one in (IPOP, plain))
    for ours, theirs in zip(states, expected, strict=True):
        for name in theirs.arrays:
            assert np.array_equal(ours.arrays[name], theirs.arrays[name])


def test_each_search_of_ipop_has_twice_the_candidates_of_the_one_before() -> None:
    """They are drawn in generations of the same size: one, then two, then four."""
    strategy = IPOP.model_copy(update=SMALL_STEP)
    states = follow(strategy, strategy.initial(np.full(GENES, 0.5)), 7)
    populations = [state.scalars["population"] for state in states]
    assert populations == [16, 16, 32, 32, 32, 32, 64]
    assert [len(state.arrays["waiting"]) for state in states] == [0, 8, 0, 8, 16, 24, 0]


@pytest.mark.parametrize("kind", [CmaEs, CmaEsMargin, SeparableCmaEs])
def test_a_population_of_two_generations_is_learned_from_as_one(kind: type[Restarting]) -> None:
    """As by a search that is told of all of it at once, failures included."""
    name = kind.model_fields["kind"].annotation.__args__[0]  # type: ignore[union-attr]
    strategy = kind(kind=name, population=SIZE, restarts="ipop")
    begun = strategy.initial(np.full(GENES, 0.5)).with_scalars(population=2 * SIZE)
    state, halves = begun, []
    for generation in range(2):
        halves.append(np.array([one.genome for one in strategy.ask(state, (5, generation))]))
        state = strategy.tell(state, halves[-1], scored(sphere(halves[-1]), [generation]))
    together = np.concatenate(halves)
    whole = kind(kind=name, population=2 * SIZE)
    expected = whole.tell(begun, together, scored(sphere(together), [0, SIZE + 1]))
    for array in expected.arrays:
        assert np.array_equal(state.arrays[array], expected.arrays[array])
    assert state.scalars["sigma"] == expected.scalars["sigma"]


def test_a_search_ends_where_steps_or_axes_are_beyond_the_criteria() -> None:
    """TolX for all numbers, and a condition of 1e14 (Hansen 2009, table 2 of criteria)."""
    assert converged(np.full(3, 0.9 * LEAST_STEP), np.ones(3))
    assert not converged(np.array([0.5 * LEAST_STEP, 2 * LEAST_STEP]), np.ones(2))
    assert converged(np.ones(2), np.array([1.1e7, 1.0]))
    assert not converged(np.ones(2), np.array([0.9e7, 1.0]))
    assert not converged(np.empty(0), np.ones(2))  # indicators alone have no step


def test_a_search_on_a_plateau_ends_after_the_window_of_hansen() -> None:
    """10 + 30 n / lambda populations whose best do not differ, and not before."""
    state = IPOP.initial(np.full(GENES, 0.5))
    window = 10 + 30 * GENES // SIZE
    for generation in range(window):
        assert state.scalars["large"] == 0
        genomes = np.array([one.genome for one in IPOP.ask(state, (1, generation))])
        state = IPOP.tell(state, np.clip(genomes, 0.1, 0.9), scored(np.zeros(SIZE)))
    assert state.scalars["large"] == 1


def test_generations_that_failed_as_a_whole_are_no_plateau() -> None:
    """They tell nothing of the function."""
    state = IPOP.initial(np.full(GENES, 0.5))
    for generation in range(40):
        genomes = np.array([one.genome for one in IPOP.ask(state, (1, generation))])
        state = IPOP.tell(state, np.clip(genomes, 0, 1), scored(np.zeros(SIZE), range(SIZE)))
    assert state.scalars["large"] == 0


def test_a_new_search_begins_at_a_random_point_with_the_first_step() -> None:
    """Another one for each seed; over many, uniform in the cube. Indicators stay as probable."""
    strategy = CmaEsMargin(kind="cma_es_margin", population=SIZE, restarts="ipop", sigma=1e-4)
    kinds = GeneKinds(np.array([True, False, False, False]), np.full(GENES, -1))
    start = np.array([0.2, 0.5, 0.5, 0.5])
    begun = [follow(strategy, strategy.initial(start, kinds), 1, seed)[0] for seed in range(60)]
    centres = np.array([one.arrays["centroid"] for one in begun])
    assert len({one.tobytes() for one in centres}) == 60
    assert np.ptp(centres[:, 0]) == 0
    for column in centres[:, 1:].T:
        assert abs(column.mean() - 0.5) < 4 / np.sqrt(12 * 60)
        assert column.min() < 0.15
        assert column.max() > 0.85
    assert {one.scalars["sigma"] for one in begun} == {1e-4}


def test_bipop_gives_small_searches_as_many_candidates_as_large_ones() -> None:
    """The next search is small where small ones have had fewer (Hansen 2009, section 2)."""
    strategy = CmaEs(population=SIZE, restarts="bipop", **SMALL_STEP)
    seen, before = [], strategy.initial(np.full(GENES, 0.5))
    for state in follow(strategy, before, 60):
        if state.scalars["spent"] != before.scalars["spent"]:
            spent, regime = state.scalars["spent"], state.scalars["regime"]
            assert regime == ("small" if spent["small"] < spent["large"] else "large")
            largest = SIZE * 2 ** state.scalars["large"]
            population, sigma = state.scalars["population"], state.scalars["sigma"]
            if regime == "large":
                assert (population, sigma) == (largest, 1e-4)
            else:
                assert SIZE <= population <= largest / 2
                assert population % SIZE == 0
                assert 1e-6 <= sigma < 1e-4
            seen.append(regime)
        before = state
    assert {"small", "large"} == set(seen)


def test_the_mean_is_that_of_the_search_that_ended_best() -> None:
    """A search that has just begun at a random point has nothing to say yet."""
    strategy = CmaEs(population=SIZE, restarts="ipop", sigma=0.05)
    states = follow(strategy, strategy.initial(np.full(GENES, 0.5)), 90)
    assert states[-1].scalars["large"] > 0
    for state in states:
        if state.scalars["large"]:
            mean = strategy.mean(state)
            assert mean is not None
            assert np.abs(mean - 0.3).max() < 0.01
