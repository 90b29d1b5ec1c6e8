"""Natural niches: shares and attraction by hand, and specialists that a sum of scores loses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies.scored import scored
from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores
from tsugiki.strategies.genetic import Genetic
from tsugiki.strategies.natural_niches import (
    NaturalNiches,
    attraction,
    crossed,
    shares,
    survivors,
)
from tsugiki.strategies.random_search import RandomSearch
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Strategy, clip

NICHES = NaturalNiches(kind="natural_niches")
ONE = np.ones(1)


def told(solved: Array) -> Scores:
    """Scores of one objective, with what each candidate made of each document."""
    return replace(scored(solved.mean(axis=1)), by_document=solved[:, :, None])


def documents(*rows: list[float]) -> Array:
    """What each candidate made of each document, as shape (candidates, documents, 1)."""
    return np.array(rows)[:, :, None]


def test_a_document_is_shared_among_those_that_solve_it() -> None:
    """Alone the whole of it, three a third each; nobody gets anything of what nobody solves."""
    found = shares(documents([1, 1, 0], [1, 0, 0], [1, 0, 0]), ONE)
    assert found[:, :, 0] == pytest.approx(np.array([[1 / 3, 1, 0], [1 / 3, 0, 0], [1 / 3, 0, 0]]))


def test_competition_is_the_power_of_the_sum() -> None:
    """S / z^alpha: with alpha 0 a document is worth to each what its score is, with 2 a ninth."""
    solved = documents([1.0], [0.5], [1.5])
    assert shares(solved, ONE, 0.0)[:, 0, 0].tolist() == [1.0, 0.5, 1.5]
    assert shares(solved, ONE, 2.0)[:, 0, 0] == pytest.approx(np.array([1.0, 0.5, 1.5]) / 9)


def test_costs_count_from_the_worst_one_and_no_number_solves_nothing() -> None:
    """Of -4, -1 and -2 the first is worth 0 and the others 3 and 2 of 5."""
    found = shares(documents([-4.0, 1.0], [-1.0, np.nan], [-2.0, 1.0]), ONE)
    assert found[:, :, 0] == pytest.approx(np.array([[0, 0.5], [0.6, 0], [0.4, 0.5]]))


def test_an_objective_is_worth_its_weight() -> None:
    """The documents of the second one count twice."""
    solved = np.ones((2, 3, 2))
    assert shares(solved, np.array([1.0, 2.0])).sum(axis=1).tolist() == [[1.5, 3.0], [1.5, 3.0]]


def test_attraction_is_what_the_other_would_add() -> None:
    """To the first: the second adds a document that it solves alone, the third one half of another."""
    shared = shares(documents([1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]), ONE)
    assert attraction(shared, 0) == pytest.approx(np.array([0.0, 0.5, 0.5, 1.0]))


def test_a_specialist_outlives_better_candidates_that_are_alike() -> None:
    """Six that solve the same eight of ten against one that solves the other two."""
    solved = np.zeros((7, 10, 1))
    solved[:6, :8], solved[6, 8:] = 1.0, 1.0
    assert survivors(solved, ONE, 1.0, 5) == [2, 3, 4, 5, 6]  # 8/6 and then 8/5 are less than 2
    assert survivors(solved, ONE, 0.0, 5) == [1, 2, 3, 4, 5]


def test_what_the_dead_leave_is_shared_out_anew() -> None:
    """Of (8/3, 8/3, 8/3, 3) the first goes, which leaves (4, 4, 3): then it is the last one's turn."""
    solved = np.zeros((4, 11, 1))
    solved[:3, :8], solved[3, 8:] = 1.0, 1.0
    assert survivors(solved, ONE, 1.0, 3) == [1, 2, 3]
    assert survivors(solved, ONE, 1.0, 2) == [1, 2]


@given(st.lists(st.integers(0, 2**6 - 1), min_size=1, max_size=12), st.integers(1, 12))
def test_survivors_are_those_of_one_child_at_a_time(rows: list[int], count: int) -> None:
    """As in the paper's loop, written out: add up all shares, drop the least, begin again."""
    solved = np.array([[(row >> bit) & 1 for bit in range(6)] for row in rows], dtype=np.float64)
    left = list(range(len(rows)))
    while len(left) > count:
        z = solved[left].sum(axis=0)
        got = [sum(solved[one][j] / z[j] for j in range(6) if solved[one][j]) for one in left]
        lowest = min(range(len(left)), key=lambda place: round(got[place], 9))
        del left[lowest]
    found = survivors(solved[:, :, None], ONE, 1.0, count)
    assert len(found) == len(left)
    assert sorted(rows[one] for one in found) == sorted(rows[one] for one in left)


def test_a_child_changes_sides_at_the_split() -> None:
    """A quarter of the second parent before half the depth, three quarters after it."""
    pair = np.array([[0.0] * 4, [1.0] * 4])
    depth = np.array([0.1, 0.6, 0.4, 0.9])
    assert crossed(pair, depth, 0.25, 0.5).tolist() == [0.25, 0.75, 0.25, 0.75]
    assert crossed(pair, depth, 1.0, 0.5).tolist() == [1.0, 0.0, 1.0, 0.0]


def test_children_lie_on_the_split_line_between_their_parents() -> None:
    """Without mutation each gene is w or 1 - w, by the depth that the space tells, not by its place."""
    strategy = NaturalNiches(kind="natural_niches", population=40, mutation=0.0)
    depth = np.tile([0.125, 0.375, 0.625, 0.875], 2)
    kinds = replace(GeneKinds.numbers(8), depth=depth)
    state = strategy.initial(np.full(8, 0.5), kinds)
    genomes = np.array([[0.0] * 8, [1.0] * 8])
    state = strategy.tell(state, genomes, told(np.array([[1.0, 0.0], [0.0, 1.0]])))
    children = np.array([one.genome for one in strategy.ask(state, (1, 1))])
    assert {one.parents for one in strategy.ask(state, (1, 1))} == {(0, 1), (1, 0)}
    np.testing.assert_array_equal(children[:, :4], children[:, 4:])
    first, last = children[:, 0], children[:, 3]
    changed = np.abs(children[:, :4] - first[:, None]) > 1e-12
    assert np.allclose(np.where(changed, 1 - first[:, None], first[:, None]), children[:, :4])
    assert (np.diff(changed.astype(int), axis=1) >= 0).all()
    assert 0 < (np.abs(last - first) > 1e-12).sum() < 40


def test_a_space_that_tells_no_depth_has_that_of_the_order_of_genes() -> None:
    """As far apart as they can be."""
    assert NICHES.initial(np.full(4, 0.5)).arrays["depth"].tolist() == [0.125, 0.375, 0.625, 0.875]


def solve(genomes: Array) -> Array:
    """Twelve documents want a large first gene, the last three a small one: nobody solves all."""
    first = clip(genomes)[:, :1]
    return np.concatenate(
        [first > np.linspace(0.5, 0.9, 12), first < np.array([0.4, 0.35, 0.3])], axis=1
    ).astype(np.float64)


def search(strategy: Strategy, generations: int, seed: int) -> tuple[list[Array], State]:
    """What each generation made of the documents, and the last state."""
    state = strategy.initial(np.full(6, 0.5))
    history = []
    for generation in range(generations):
        genomes = np.array([one.genome for one in strategy.ask(state, (seed, generation))])
        history.append(solve(genomes))
        state = strategy.tell(state, genomes, told(history[-1]))
    return history, state


@pytest.mark.parametrize("seed", range(3))
def test_niches_keep_specialists_that_a_genetic_algorithm_loses(seed: int) -> None:
    """Both find what solves most; the three documents that it cannot solve are solved in one of them."""
    niches, state = search(NICHES, 30, seed)
    genetic, _ = search(Genetic(kind="genetic"), 30, seed)
    assert max(one.sum(axis=1).max() for one in niches) == 12
    assert state.arrays["solved"].max(axis=0).sum() == 15
    assert genetic[-1].max(axis=0).sum() == 12


def test_it_solves_more_than_chance_where_documents_add_up() -> None:
    """Twenty documents, each of which wants one of twenty genes in a fifth of its range; equal budget."""
    wanted = np.random.default_rng(5).uniform(0.2, 0.8, 20)
    best = {}
    for strategy in (NICHES, RandomSearch(kind="random", population=24)):
        state = strategy.initial(np.full(20, 0.5))
        found = []
        for generation in range(40):
            genomes = np.array([one.genome for one in strategy.ask(state, (1, generation))])
            solved = (np.abs(clip(genomes) - wanted) < 0.1).astype(np.float64)
            found.append(solved.sum(axis=1).max())
            state = strategy.tell(state, genomes, told(solved))
        best[strategy.kind] = max(found)
    assert best["natural_niches"] > 1.5 * best["random"]


def test_failures_and_who_was_left_at_a_rung_take_no_part() -> None:
    """Neither as survivors nor as parents."""
    state = NICHES.initial(np.full(3, 0.5))
    solved = documents([1, 0], [np.nan, np.nan], [np.nan, np.nan], [0, 1])
    scores = replace(
        scored([0.5, 0.0, -1.0, 0.5], [1]),
        by_document=solved,
        left=np.array([False, False, True, False]),
    )
    state = NICHES.tell(state, np.arange(12.0).reshape(4, 3) / 12, scores)
    assert state.arrays["told"].tolist() == [0.0, 3.0]
    assert {index for one in NICHES.ask(state, (1,)) for index in one.parents} == {0, 1}


def test_a_generation_of_failures_leaves_those_who_live() -> None:
    """It has no record of any document, and so none of their shape."""
    state = NICHES.initial(np.full(3, 0.5))
    scores = replace(scored([0.5, 0.5]), by_document=documents([1, 0], [0, 1]))
    state = NICHES.tell(state, np.arange(6.0).reshape(2, 3) / 6, scores)
    failures = replace(scored([0.0, 0.0], [0, 1]), by_document=np.empty((2, 0, 1)))
    told = NICHES.tell(state, np.full((2, 3), 0.9), failures)
    assert told.arrays["genomes"].tolist() == state.arrays["genomes"].tolist()
    assert told.arrays["told"].tolist() == [-1.0, -1.0]
    assert len(NICHES.ask(told, (1,))) == len(NICHES.ask(state, (1,)))


def test_an_objective_counts_as_much_as_its_weight_however_many_documents_it_has() -> None:
    """Two documents of one, four of another; the third has a number for the whole only."""
    solved = np.full((2, 4, 3), np.nan)
    solved[:, :2, 0], solved[:, :, 1] = 1.0, [[1, 1, 1, 0], [0, 0, 0, 1]]
    scores = scored([[1.0, 0.75, -9.0], [1.0, 0.25, -7.0]], weights=[1.0, 2.0, 4.0])
    scores = replace(scores, by_document=solved)
    state = NICHES.tell(NICHES.initial(np.full(2, 0.5)), np.full((2, 2), 0.5), scores)
    got = shares(state.arrays["solved"], state.arrays["worth"]).sum(axis=1)
    assert got == pytest.approx(np.array([[0.5, 1.5, 0.0], [0.5, 0.5, 4.0]]))


def test_without_records_each_objective_is_a_document() -> None:
    """As where Python asks and tells."""
    strategy = NaturalNiches(kind="natural_niches", archive=2)
    values = [[1.0, 0.0], [1.0, 0.0], [0.9, 0.0], [0.0, 0.2]]
    state = strategy.tell(strategy.initial(np.full(2, 0.5)), np.full((4, 2), 0.5), scored(values))
    assert 3 in state.arrays["told"]
