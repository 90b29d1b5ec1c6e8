"""The coordinate climb: plain with two candidates, many genes at once with more, greedy on indicators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.strategies.scored import scored
from tsugiki.contracts.genome import GeneKinds
from tsugiki.keyed import generator
from tsugiki.strategies.coordinate_climb import CoordinateClimb
from tsugiki.strategies.state import Array, State

START = np.array([0.5, 0.5])


def climb(
    strategy: CoordinateClimb,
    value: Callable[[Array], float],
    start: Array,
    generations: int,
    kinds: GeneKinds | None = None,
) -> tuple[State, list[Array]]:
    """The state after some generations, and all that was asked for."""
    state, asked = strategy.initial(start, kinds), []
    for generation in range(generations):
        genomes = np.array([one.genome for one in strategy.ask(state, (1, generation))])
        asked.append(genomes)
        state = strategy.tell(state, genomes, scored([[value(one)] for one in genomes]))
    return state, asked


def test_two_candidates_are_the_plain_climb() -> None:
    """The start and a step up; a better step is kept and its opposite left out; the next gene follows."""
    strategy = CoordinateClimb(kind="coordinate_climb", population=2, step=0.2)
    _, asked = climb(strategy, lambda x: float(x[0] - x[1]), START, 3)
    np.testing.assert_allclose(asked[0], [[0.5, 0.5], [0.7, 0.5]])
    np.testing.assert_allclose(asked[1], [[0.7, 0.7], [0.7, 0.3]])
    np.testing.assert_allclose(asked[2], [[0.7, 0.3], [0.9, 0.3]])


def test_a_round_without_success_halves_the_step() -> None:
    """From the optimum: four moves at 0.2, then four at 0.1."""
    strategy = CoordinateClimb(kind="coordinate_climb", population=5, step=0.2)
    state, asked = climb(strategy, lambda x: -float(((x - 0.5) ** 2).sum()), START, 1)
    np.testing.assert_allclose(np.abs(asked[0][1:] - 0.5).max(axis=1), 0.2)
    assert state.scalars["step"] == pytest.approx(0.1)
    again = np.array([one.genome for one in strategy.ask(state, (1, 1))])
    np.testing.assert_allclose(np.abs(again[1:] - 0.5).max(axis=1), 0.1)


def test_moves_that_were_better_are_taken_together() -> None:
    """Two genes were better, each by itself; the next generation tries both at once."""
    strategy = CoordinateClimb(kind="coordinate_climb", population=5, step=0.2)
    state, asked = climb(strategy, lambda x: float(min(x[0], 0.7) - 0.5 * x[1]), START, 2)
    assert [0.7, 0.3] in np.round(asked[1], 9).tolist()
    np.testing.assert_allclose(state.arrays["point"], [0.7, 0.3])


def test_a_lucky_value_is_measured_again() -> None:
    """The point's value is the mean of what it scored."""
    strategy = CoordinateClimb(kind="coordinate_climb", population=5, step=0.2)
    state = strategy.initial(START)
    for value in (0.8, 0.4):
        genomes = np.array([one.genome for one in strategy.ask(state, (1,))])
        np.testing.assert_array_equal(genomes[0], START)
        state = strategy.tell(state, genomes, scored([[value], [0.0], [0.0], [0.0], [0.0]]))
    assert state.scalars["value"] == pytest.approx(0.6)


def test_whoever_was_left_at_a_rung_measures_nothing_and_is_no_better() -> None:
    """Its score there is lowered below those that came further: it says nothing of the point, nor of a move."""
    strategy = CoordinateClimb(kind="coordinate_climb", population=5, step=0.2)
    state = strategy.initial(START)
    for values, left in (
        ([0.6, 0.1, 0.2, 0.0, 0.0], [False] * 5),
        ([-0.4, 0.5, 0.9, 0.3, 0.2], [True, False, True, False, False]),
    ):
        genomes = np.array([one.genome for one in strategy.ask(state, (1,))])
        told = replace(scored([[one] for one in values]), left=np.array(left))
        state = strategy.tell(state, genomes, told)
        np.testing.assert_array_equal(state.arrays["point"], START)
        assert state.scalars["value"] == pytest.approx(0.6)


def test_indicators_are_inserted_greedily() -> None:
    """Of three useful layers one after another is switched on; a number counts once it is in use."""
    kinds = GeneKinds(binary=np.array([True] * 4 + [False]), switch=np.array([-1, -1, -1, -1, 2]))

    def value(x: Array) -> float:
        return float(x[1] + x[2] * (1 + x[4]) + x[3] - 2 * x[0])

    strategy = CoordinateClimb(kind="coordinate_climb", population=2, step=0.5)
    state, asked = climb(strategy, value, np.array([0.1, 0.1, 0.1, 0.1, 0.5]), 8, kinds)
    np.testing.assert_allclose(state.arrays["point"], [0, 1, 1, 1, 1])
    order = np.concatenate(asked)
    before = order[: int(np.argmax(order[:, 2] == 1))]
    assert len(before) > 2
    assert (before[:, 4] == 0.5).all()


@pytest.mark.parametrize("population", [2, 7, 24])
def test_it_climbs_a_narrow_hill(population: int) -> None:
    """240 evaluations bring eight genes within 0.025 of the top of a hill that has no ridge."""
    top = np.array([0.1, 0.9, 0.33, 0.62, 0.5, 0.05, 1.0, 0.77])
    strategy = CoordinateClimb(kind="coordinate_climb", population=population)
    state, _ = climb(
        strategy, lambda x: -float(((x - top) ** 2).sum()), np.full(8, 0.5), 240 // population
    )
    assert np.abs(state.arrays["point"] - top).max() < 0.025


def test_it_beats_random_search_on_a_noisy_hill() -> None:
    """Mean of the true values reached in ten searches of 240 noisy evaluations of 16 genes."""
    reached = {}
    for name in ("climb", "random"):
        ends = []
        for seed in range(10):
            top, noise = generator("top", seed).uniform(0.2, 0.8, 16), generator("noise", seed)

            def true(x: Array, top: Array = top) -> float:
                return -float(((x - top) ** 2).mean())

            def seen(x: Array, noise: np.random.Generator = noise, top: Array = top) -> float:
                return -float(((x - top) ** 2).mean()) + float(noise.normal(scale=0.005))

            if name == "climb":
                strategy = CoordinateClimb(kind="coordinate_climb", population=24)
                state, _ = climb(strategy, seen, np.full(16, 0.5), 10)
                ends.append(true(state.arrays["point"]))
            else:
                drawn = generator("drawn", seed).random((240, 16))
                ends.append(true(drawn[int(np.argmax([seen(one) for one in drawn]))]))
        reached[name] = float(np.mean(ends))
    assert reached["climb"] > reached["random"] / 2


def test_a_start_that_fails_is_left() -> None:
    """The first candidate with a score is better than a point without."""
    strategy = CoordinateClimb(kind="coordinate_climb", population=3, step=0.2)
    state = strategy.initial(START)
    genomes = np.array([one.genome for one in strategy.ask(state, (1,))])
    state = strategy.tell(state, genomes, scored([[0.0], [0.1], [0.0]], [0, 2]))
    np.testing.assert_allclose(state.arrays["point"], [0.7, 0.5])
