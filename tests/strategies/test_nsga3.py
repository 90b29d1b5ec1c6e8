"""NSGA-III, against DEAP's selection and its paper."""

from __future__ import annotations

import numpy as np
import pytest
from deap import tools

from tests.strategies.scored import scored
from tsugiki.strategies.nsga3 import Nsga3
from tsugiki.strategies.pareto import Individual
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import key_of, seeded_globals

NSGA3 = Nsga3(kind="nsga3", population=15)


def pool(seed: int = 1) -> tuple[Array, Array]:
    """Twice as many genomes as live, with costs of three objectives; the ideal point is the origin."""
    draws = np.random.default_rng(seed)
    costs = np.abs(draws.normal(size=(30, 3)))
    costs /= np.linalg.norm(costs, axis=1, keepdims=True) / draws.uniform(1, 1.3, (30, 1))
    return draws.random((30, 4)), costs - costs.min(axis=0)


def kept(genomes: Array, costs: Array) -> list[int]:
    """Who lives."""
    return NSGA3.survive(NSGA3.initial(np.full(4, 0.5)), genomes, -costs)[0].tolist()


def test_survivors_are_those_of_deap() -> None:
    """With the same reference directions: four steps, fifteen of them for three objectives."""
    genomes, costs = pool()
    peers = [Individual(*one) for one in zip(genomes, -costs, range(30), strict=True)]
    with seeded_globals(key_of(genomes)):
        expected = tools.selNSGA3(peers, 15, tools.uniform_reference_points(3, 4))
    assert kept(genomes, costs) == [one.at for one in expected]


@pytest.mark.parametrize("shift", [[-1.0, -1.0, -1.0], [0.5, 3.0, 40.0]])
def test_survivors_do_not_depend_on_where_scores_begin(shift: list[float]) -> None:
    """An accuracy or an error count, from 0 or from 40: fronts and directions are the same."""
    genomes, costs = pool()
    assert kept(genomes, costs + np.array(shift)) == kept(genomes, costs)


def test_ideal_and_extreme_points_are_remembered() -> None:
    """A generation of worse ones does not move them; nor does one of failures."""
    state: State = NSGA3.initial(np.full(4, 0.5))
    genomes, costs = pool()
    state = NSGA3.tell(state, genomes, scored(-costs))
    ideal, extremes = state.arrays["ideal"], state.arrays["extremes"]
    assert np.allclose(ideal, costs.min(axis=0))
    later = NSGA3.tell(state, genomes, scored(-costs - 1.0))
    later = NSGA3.tell(later, genomes, scored(-costs, range(30)))
    assert np.array_equal(later.arrays["ideal"], ideal)
    assert np.allclose(later.arrays["extremes"], extremes)
    assert len(later.arrays["genomes"]) == 15


def test_too_few_candidates_for_the_directions_are_a_fault() -> None:
    """Das and Dennis: (m + p - 1 over p); and one objective has no front."""
    assert list(NSGA3.faults(objectives=3)) == []
    assert "`genetic`" in next(NSGA3.faults(objectives=1))
    fine = NSGA3.model_copy(update={"divisions": 4})
    assert list(fine.faults(objectives=3)) == []
    (fault,) = NSGA3.model_copy(update={"divisions": 5}).faults(objectives=3)
    assert "21 reference directions" in fault
    assert "`population`" in fault
