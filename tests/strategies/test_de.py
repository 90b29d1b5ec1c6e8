"""Differential evolution, against the equations of SHADE (Tanabe and Fukunaga 2013)."""

from __future__ import annotations

import numpy as np
import pytest

from tests.strategies.scored import scored
from tsugiki.strategies.de import MEMORY, DifferentialEvolution
from tsugiki.strategies.state import Array, State

DE = DifferentialEvolution(kind="de", population=10)


def begun(genes: int = 3, low: float = 0.45, high: float = 0.55) -> State:
    """A population of equal fitness in a small part of the cube."""
    genomes = np.random.default_rng(1).uniform(low, high, (10, genes))
    return DE.tell(DE.initial(np.full(genes, 0.5)), genomes, scored(np.zeros(10)))


def asked(state: State, seed: int = 1) -> Array:
    """Trials."""
    return np.array([one.genome for one in DE.ask(state, (seed,))])


def test_the_first_generation_is_the_start_and_draws_about_it() -> None:
    """Moved into the cube."""
    first = asked(DE.initial(np.array([0.0, 0.5])))
    assert np.array_equal(first[0], [0.0, 0.5])
    assert first.min() >= 0
    assert len({row.tobytes() for row in first}) == 10


def test_trials_take_their_targets_places_if_they_are_no_worse() -> None:
    """Failures never do, whatever else there is."""
    state = begun()
    trials, before = asked(state), state.arrays["genomes"]
    told = DE.tell(state, trials, scored([1.0, 0.0, -1.0, *[-1.0] * 6, 9.0], [9]))
    assert np.array_equal(told.arrays["genomes"][:2], trials[:2])
    assert np.array_equal(told.arrays["genomes"][2:], before[2:])
    assert told.arrays["fitness"].tolist() == [1.0, *[0.0] * 9]
    assert told.arrays["told"].tolist() == [0, 1, *[-1] * 8]
    assert np.array_equal(told.arrays["archive"], before[:1])  # a tie is not archived


def test_the_memory_learns_the_settings_of_trials_that_were_better() -> None:
    """A weighted Lehmer mean of F, a weighted mean of CR (equations 7 to 9), one entry at a time.

    With one trial that is better, both are its own settings; with CR at 1, the first gene of a trial
    shows F: the memory's entry is what the trial was made with.
    """
    state = begun(genes=1)
    trials = asked(state)
    told = DE.tell(state, trials, scored([1.0, *[-1.0] * 9]))
    scale = told.arrays["memory_f"][0]
    assert np.array_equal(told.arrays["memory_f"][1:], np.full(MEMORY - 1, 0.5))
    assert told.scalars["place"] == 1
    x = state.arrays["genomes"][:, 0]
    steps = [
        x[best] - x[0] + x[one] - x[other]
        for best in range(10)
        for one in range(1, 10)
        for other in range(1, 10)
        if other != one
    ]
    assert np.abs((trials[0, 0] - x[0]) / scale - np.array(steps)).min() < 1e-12
    both = DE.tell(state, trials, scored([1.0, 3.0, *[-1.0] * 8]))
    second = DE.tell(state, trials, scored([-1.0, 3.0, *[-1.0] * 8])).arrays["memory_f"][0]
    lehmer = (scale**2 + 3 * second**2) / (scale + 3 * second)
    assert both.arrays["memory_f"][0] == pytest.approx(lehmer)
    rates = [
        DE.tell(state, trials, scored(values)).arrays["memory_cr"][0]
        for values in ([1.0, *[-1.0] * 9], [-1.0, 1.0, *[-1.0] * 8])
    ]
    assert both.arrays["memory_cr"][0] == pytest.approx((rates[0] + 3 * rates[1]) / 4)


def test_settings_are_drawn_anew_in_each_generation_even_if_nobody_was_better() -> None:
    """A population that stands still does not try the same settings for ever."""
    state = begun(genes=1)
    trials = asked(state)
    again = DE.tell(state, trials, scored(np.full(10, -1.0)))
    assert np.array_equal(again.arrays["genomes"], state.arrays["genomes"])
    assert not np.array_equal(asked(again), trials)


def test_a_gene_outside_is_put_half_way_to_the_bound() -> None:
    """Of its target's and the bound: trials never lie on the wall or beyond."""
    state = begun(genes=6, low=0.0, high=1.0)
    trials = np.concatenate([asked(state, seed) for seed in range(20)])
    assert trials.min() > 0
    assert trials.max() < 1
    targets = np.tile(state.arrays["genomes"], (20, 1))
    assert np.isclose(trials, targets / 2).any()
    assert np.isclose(trials, (1 + targets) / 2).any()


def test_the_archive_is_no_larger_than_the_population() -> None:
    """Whatever was replaced."""
    state = begun()
    for generation in range(5):
        state = DE.tell(state, asked(state, generation), scored(np.full(10, generation + 1.0)))
    assert state.arrays["archive"].shape == (10, 3)


def test_a_scored_trial_takes_the_place_of_a_failure() -> None:
    """Its gain is not infinite: the memory stays finite."""
    state = DE.initial(np.full(2, 0.5))
    state = DE.tell(state, asked(state), scored(np.zeros(10), range(10)))
    state = DE.tell(state, asked(state), scored(np.full(10, -5.0), range(5)))
    assert state.arrays["fitness"].tolist() == [*[-np.inf] * 5, *[-5.0] * 5]
    assert np.isfinite(state.arrays["memory_f"]).all()
    assert np.isfinite(state.arrays["memory_cr"]).all()
