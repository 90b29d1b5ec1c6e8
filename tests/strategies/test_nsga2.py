"""NSGA-II, against fronts and distances worked out by hand, and against its peers in DEAP."""

from __future__ import annotations

import numpy as np
import pytest
from deap import base, tools
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies.scored import scored
from tsugiki.contracts.scores import Scores, nondominated
from tsugiki.strategies.genetic import Genetic
from tsugiki.strategies.nsga2 import Nsga2, order
from tsugiki.strategies.pareto import crowding
from tsugiki.strategies.random_search import RandomSearch
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Strategy, clip

NSGA2 = Nsga2(kind="nsga2", population=24)


class Pair(base.Fitness):  # type: ignore[misc]
    """DEAP's fitness of two objectives."""

    weights = (1.0, 1.0)


class Individual:
    """What DEAP sorts."""

    def __init__(self, values: tuple[float, float]) -> None:
        self.fitness = Pair(values)


def test_a_front_by_hand() -> None:
    """(3, 1), (2, 2) and (1, 3) are better than no other; (1, 1) and (2, 1) are dominated."""
    values = np.array([[3.0, 1.0], [1.0, 1.0], [2.0, 2.0], [2.0, 1.0], [1.0, 3.0]])
    assert nondominated(values).tolist() == [True, False, True, False, True]
    assert order(values).tolist() == [0, 4, 2, 3, 1]


def test_equal_candidates_do_not_dominate_each_other() -> None:
    """Both are on the front."""
    assert nondominated(np.array([[1.0, 2.0], [1.0, 2.0]])).tolist() == [True, True]


def test_crowding_by_hand() -> None:
    """Neighbours of (2, 6) lie 3 of 8 apart in the first objective, and 6 of 9 in the second."""
    values = np.array([[0.0, 9.0], [2.0, 6.0], [3.0, 3.0], [8.0, 0.0]])
    expected = [np.inf, 3 / 8 + 6 / 9, 6 / 8 + 6 / 9, np.inf]
    assert crowding(values) == pytest.approx(expected)
    assert crowding(np.array([[1.0, 1.0]])).tolist() == [np.inf]
    assert crowding(np.empty((0, 2))).tolist() == []


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=30))
def test_fronts_are_those_of_the_definition(rows: list[tuple[int, ...]]) -> None:
    """By brute force over all pairs; each front is complete before the next one begins."""
    values = np.array(rows, dtype=np.float64)

    def dominated(one: int, among: list[int]) -> bool:
        return any(
            (values[other] >= values[one]).all() and (values[other] > values[one]).any()
            for other in among
        )

    found, left = order(values).tolist(), list(range(len(rows)))
    assert sorted(found) == left
    while left:
        front = [one for one in left if not dominated(one, left)]
        assert sorted(found[: len(front)]) == front
        found, left = found[len(front) :], [one for one in left if one not in front]


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 2), min_size=4, max_size=30, unique=True))
def test_survivors_have_the_crowding_of_those_of_deap(rows: list[tuple[float, float]]) -> None:
    """Its `selNSGA2` keeps as many of each front, as far apart; ties may fall to others."""
    count = len(rows) // 2
    kept = np.array(rows)[order(np.array(rows))[:count]]
    peers = [one.fitness.values for one in tools.selNSGA2([Individual(row) for row in rows], count)]
    whole = np.array(rows)[nondominated(np.array(rows))]
    ours, theirs = (
        sorted(crowding(whole)[[whole.tolist().index(list(one)) for one in some]].tolist())
        for some in (
            [row for row in kept.tolist() if row in whole.tolist()],
            [list(row) for row in peers if list(row) in whole.tolist()],
        )
    )
    assert ours == pytest.approx(theirs)


def zdt1(genomes: Array) -> Array:
    """Zitzler, Deb and Thiele 2000, to be maximised: the front is f2 = 1 - sqrt(f1), where g = 1."""
    cube = clip(genomes)
    first, g = cube[:, 0], 1 + 9 * cube[:, 1:].mean(axis=1)
    return -np.stack([first, g * (1 - np.sqrt(first / g))], axis=1)


def volume(values: Array) -> float:
    """Area between a front and the point (-1.1, -11), all of it dominated."""
    front = values[nondominated(values)]
    front = front[np.argsort(-front[:, 0])]
    area, height = 0.0, -11.0
    for first, second in front.tolist():
        if first > -1.1 and second > height:
            area += (first + 1.1) * (second - height)
            height = second
    return area


def search(strategy: Strategy, generations: int, seed: int) -> tuple[list[Array], State]:
    """Scores of each generation, and the last state."""
    state = strategy.initial(np.full(8, 0.5))
    history = []
    for generation in range(generations):
        genomes = np.array([one.genome for one in strategy.ask(state, (seed, generation))])
        assert genomes.min() >= 0.0
        assert genomes.max() <= 1.0
        history.append(zdt1(genomes))
        state = strategy.tell(state, genomes, scored(history[-1]))
    return history, state


def test_it_covers_more_of_the_front_than_a_weighted_sum_or_chance() -> None:
    """By the volume that all candidates of a search dominate, over three seeds at equal budget."""
    volumes = {
        strategy.kind: [volume(np.concatenate(search(strategy, 60, seed)[0])) for seed in range(3)]
        for strategy in (NSGA2, Genetic(kind="genetic"), RandomSearch(kind="random", population=24))
    }
    assert min(volumes["nsga2"]) > max(volumes["genetic"])
    assert min(volumes["nsga2"]) > max(volumes["random"])


def test_the_survivors_spread_along_the_front() -> None:
    """After 150 generations on ZDT1 most are on the last front, which reaches from end to end."""
    _, state = search(NSGA2, 150, seed=1)
    values = -state.arrays["values"]
    assert nondominated(-values).mean() > 0.8
    assert np.abs(values[:, 1] - (1 - np.sqrt(values[:, 0]))).mean() < 0.1
    assert np.ptp(values[:, 0]) > 0.7


def test_failures_never_survive_and_are_no_parents() -> None:
    """Whatever else there is."""
    state = NSGA2.initial(np.full(4, 0.5))
    for generation in range(3):
        asked = NSGA2.ask(state, (1, generation))
        genomes = np.array([one.genome for one in asked])
        failed = range(0, 24, 2) if generation < 2 else range(24)
        state = NSGA2.tell(state, genomes, scored(zdt1(genomes), failed))
        assert np.isfinite(state.arrays["values"]).all()
        assert not set(state.arrays["told"].astype(int).tolist()) & set(failed)
    assert set(state.arrays["told"]) == {-1}


def test_a_front_is_cut_where_it_is_crowded() -> None:
    """Of five on a line the ends stay, and the one that is farthest from its neighbours."""
    scores = scored([[0.0, 10.0], [1.0, 9.0], [2.0, 8.0], [6.0, 4.0], [10.0, 0.0], [0.0, 0.0]])
    assert NSGA2.best(scores, 3) == [0, 4, 3]
    assert sorted(NSGA2.best(scores, 9)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("told", "better"),
    [([[2.0, 2.0]], True), ([[0.0, 4.0]], True), ([[3.0, 1.0]], False), ([[1.0, 1.0]], False)],
)
def test_a_new_point_of_the_front_is_progress(told: list[list[float]], better: bool) -> None:
    """Against survivors at (3, 1) and (1, 3): in between or beyond, but neither equal nor dominated."""
    state = NSGA2.initial(np.full(2, 0.5)).with_scalars(best=None, best_generation=4)
    before: Scores = scored([[3.0, 1.0], [1.0, 3.0]])
    state = NSGA2.tell(state, np.full((2, 2), 0.5), before).with_scalars(**state.scalars)
    found = NSGA2.progress(state, scored(told), 7)
    assert found == {"best": None, "best_generation": 7 if better else 4}


def test_one_objective_is_a_fault() -> None:
    """It has no front; what to do is named."""
    assert list(NSGA2.faults(objectives=2)) == []
    (fault,) = NSGA2.faults(objectives=1)
    assert "`genetic`" in fault
