"""CycleQD: archives by brute force, the rotation of roles, and what it covers against its peers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies.scored import scored
from tests.strategies.test_nsga2 import search, volume
from tsugiki.strategies.cycle_qd import CycleQd, archives, chance, extent
from tsugiki.strategies.genetic import Genetic
from tsugiki.strategies.random_search import RandomSearch
from tsugiki.strategies.state import Array, State

QD = CycleQd(kind="cycle_qd")


def after(values: list[list[float]], strategy: CycleQd = QD, state: State | None = None) -> State:
    """The state after a generation with these scores; the first gene is a candidate's number."""
    state = state or strategy.initial(np.full(2, 0.5))
    genomes = np.repeat(np.arange(len(values))[:, None] / 100, 2, axis=1)
    return strategy.tell(state, genomes, scored(values))


def test_archives_by_hand() -> None:
    """Two cells each: below 5 and from 5 on. (4, 9) is better in its cell than (3, 6), which is no best."""
    values = np.array([[0.0, 10.0], [4.0, 9.0], [3.0, 6.0], [6.0, 4.0], [10.0, 0.0], [5.0, 1.0]])
    first, second = archives(values, extent(values), 2)
    assert first.tolist() == [1, 4]  # best at the first objective, by cells of the second
    assert second.tolist() == [0, 3]


@given(
    st.lists(st.tuples(*[st.integers(0, 20)] * 3), min_size=1, max_size=40),
    st.integers(1, 6),
    st.integers(1, 39),
)
def test_the_archives_keep_the_best_of_each_cell_in_however_many_generations(
    rows: list[tuple[int, ...]], cells: int, cut: int
) -> None:
    """By brute force over all that was told, once the first two have shown all extents."""
    rows = [(0, 0, 0), (20, 20, 20), *rows]
    strategy = CycleQd(kind="cycle_qd", cells=cells)
    state = after([list(row) for row in rows[: cut + 1]], strategy)
    if rows[cut + 1 :]:
        state = after([list(row) for row in rows[cut + 1 :]], strategy, state)
    values = state.arrays["values"]

    def cell(row: tuple[int, ...] | Array, quality: int) -> tuple[int, ...]:
        of = [min(int(cells * value / 20), cells - 1) for value in row]
        return tuple(one for place, one in enumerate(of) if place != quality)

    for quality, archive in enumerate(archives(values, state.arrays["extent"], cells)):
        expected: dict[tuple[int, ...], int] = {}
        for row in rows:
            expected[cell(row, quality)] = max(
                row[quality], expected.get(cell(row, quality), row[quality])
            )
        found = {cell(values[one], quality): values[one, quality] for one in archive}
        assert found == expected
        assert len(archive) == len(expected)


def test_of_equals_the_older_one_lives() -> None:
    """Otherwise an archive would change without getting better."""
    state = after([[1.0, 1.0], [0.0, 0.0]])
    again = after([[1.0, 1.0], [0.0, 0.0]], state=state)
    assert again.arrays["told"].tolist() == [-1.0, -1.0]


def test_parents_of_a_generation_come_from_the_archive_of_its_objective() -> None:
    """(9, 1) and (5, 0) are in one cell: the first is the best at the first objective, and so on."""
    strategy = CycleQd(kind="cycle_qd", cells=2, population=60)
    values = [[9.0, 1.0], [8.0, 9.0], [1.0, 9.5], [0.0, 5.5], [2.0, 0.0]]
    state = after(values, strategy)  # one generation was told: the second objective is next
    parents = {one for child in strategy.ask(state, (1,)) for one in child.parents}
    assert {state.arrays["told"][one] for one in parents} == {1, 2}
    state = after([[-1.0, -1.0]], strategy, state)
    genomes = np.array([one.genome for one in strategy.ask(state, (1,))])
    archive = archives(state.arrays["values"], state.arrays["extent"], 2)[0]
    assert state.arrays["genomes"][archive, 0].tolist() == [0.0, 0.01]
    assert np.abs(np.mean(genomes[genomes > 0])) < 0.2


def test_the_roles_rotate_even_when_a_generation_fails() -> None:
    """Each objective has its turn, whatever came of it."""
    state = QD.initial(np.full(2, 0.5))
    for generation in range(5):
        assert state.scalars["generations"] == generation
        state = QD.tell(state, np.zeros((2, 2)), scored(np.zeros((2, 3)), range(2)))


def test_a_child_is_the_weighted_mean_of_its_parents() -> None:
    """Weights are normal about 1: a half of each, with a deviation of 0.03 / sqrt(8)."""
    strategy = CycleQd(kind="cycle_qd", mutation=0.0, population=2000)
    state = strategy.tell(
        strategy.initial(np.full(2, 0.5)),
        np.array([[0.0, 1.0], [1.0, 0.0]]),
        scored([[0.0, 1.0], [1.0, 0.0]]),
    )
    children = np.array([one.genome for one in strategy.ask(state, (1,))])
    assert np.allclose(children.sum(axis=1), 1.0)
    assert children[:, 0].mean() == pytest.approx(0.5, abs=0.001)
    assert children[:, 0].std() == pytest.approx(0.03 / np.sqrt(8), rel=0.1)


def test_chances_rise_with_every_objective() -> None:
    """0.5 at the worst and 0.8 at the best, multiplied; an objective without any spread tells nothing."""
    found = chance(np.array([[0.0, 1.0, 7.0], [1.0, 0.0, 7.0], [1.0, 1.0, 7.0], [0.5, 0.0, 7.0]]))
    merit = np.array([0.5 * 0.8, 0.8 * 0.5, 0.8 * 0.8, 0.65 * 0.5])
    assert found == pytest.approx(merit / merit.sum())


def test_it_covers_more_of_the_front_than_a_weighted_sum_or_chance() -> None:
    """By the volume that all candidates of a search dominate, over three seeds at equal budget."""
    volumes = {
        strategy.kind: [volume(np.concatenate(search(strategy, 60, seed)[0])) for seed in range(3)]
        for strategy in (QD, Genetic(kind="genetic"), RandomSearch(kind="random", population=24))
    }
    assert min(volumes["cycle_qd"]) > max(volumes["genetic"])
    assert min(volumes["cycle_qd"]) > max(volumes["random"])


def test_finalists_are_of_different_cells_of_the_front_the_best_of_each_objective_first() -> None:
    """(0.1, 9.9) is in the cell of (0, 10) in both archives; (5, 4) is dominated."""
    values = [[0.0, 10.0], [0.1, 9.9], [6.0, 6.0], [5.0, 4.0], [10.0, 0.0]]
    strategy = CycleQd(kind="cycle_qd", cells=3)
    assert strategy.best(scored(values), 9) == [4, 0, 2, 1]
    assert CycleQd(kind="cycle_qd", cells=1).best(scored(values), 9) == [4, 0]
    assert strategy.best(scored(values, [0, 4]), 2) == [2, 1]
    assert strategy.best(scored(values, range(5)), 2) == []


@pytest.mark.parametrize(
    ("told", "better"),
    [([[3.0, 1.0]], False), ([[2.9, 1.0]], False), ([[2.0, 2.0]], True), ([[3.0, 3.0]], True)],
)
def test_a_new_best_of_a_cell_is_progress(told: list[list[float]], better: bool) -> None:
    """Against (3, 1) and (1, 3)."""
    state = after([[3.0, 1.0], [1.0, 3.0]]).with_scalars(best=None, best_generation=4)
    found = QD.progress(state, scored(told), 7)
    assert found == {"best": None, "best_generation": 7 if better else 4}


def test_who_was_left_at_a_rung_is_in_no_archive() -> None:
    """Its values are of other documents, and stretch no cells."""
    scores = scored([[3.0, 1.0], [-99.0, -99.0], [1.0, 3.0]])
    scores = replace(scores, left=np.array([False, True, False]))
    state = QD.tell(QD.initial(np.full(2, 0.5)), np.zeros((3, 2)), scores)
    assert state.arrays["told"].tolist() == [0.0, 2.0]
    assert state.arrays["extent"].tolist() == [[1.0, 1.0], [3.0, 3.0]]


def test_one_objective_is_a_fault() -> None:
    """It has no others to tell cells by; what to do is named."""
    assert list(QD.faults(objectives=2)) == []
    (fault,) = QD.faults(objectives=1)
    assert "`genetic`" in fault
