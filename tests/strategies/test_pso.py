"""Particle swarm optimisation, against its equations (Clerc and Kennedy 2002)."""

from __future__ import annotations

import math

import numpy as np

from tests.strategies.scored import scored
from tsugiki.keyed import generator
from tsugiki.strategies.pso import INERTIA, PULL, ParticleSwarm
from tsugiki.strategies.state import Array, State

PSO = ParticleSwarm(kind="pso", population=5)


def asked(state: State, key: int = 1) -> Array:
    """Where the particles fly."""
    return np.array([one.genome for one in PSO.ask(state, (key,))])


def test_the_constants_are_the_constriction_for_4_1() -> None:
    """2 / |2 - phi - sqrt(phi^2 - 4 phi)|, and half of phi times it for each pull."""
    phi = 4.1
    constriction = 2 / abs(2 - phi - math.sqrt(phi**2 - 4 * phi))
    assert abs(constriction - INERTIA) < 1e-4
    assert abs(constriction * phi / 2 - PULL) < 1e-4


def test_a_particle_moves_by_inertia_and_two_pulls() -> None:
    """Towards its own best place, and towards that of the best particle."""
    first = np.random.default_rng(1).uniform(0.4, 0.6, (5, 3))
    second = first + 0.01
    state = PSO.tell(PSO.initial(np.full(3, 0.5)), first, scored([0.0, 5.0, 0.0, 0.0, 0.0]))
    state = PSO.tell(state, second, scored([1.0, 1.0, -1.0, 1.0, 1.0]))
    own = second.copy()
    own[[1, 2]] = first[[1, 2]]
    pulls = PULL * generator(7).random((2, 5, 3))
    expected = second + INERTIA * 0.01 + pulls[0] * (own - second) + pulls[1] * (first[1] - second)
    assert np.allclose(asked(state, 7), np.clip(expected, 0, 1), rtol=0, atol=1e-12)


def test_a_particle_stops_at_the_wall() -> None:
    """It stands on it, and its velocity ends there."""
    state = PSO.tell(PSO.initial(np.full(1, 0.5)), np.full((5, 1), 0.9), scored(np.zeros(5)))
    state = PSO.tell(state, np.full((5, 1), 1.0), scored(np.ones(5)))
    moved = asked(state)
    assert np.array_equal(moved, np.ones((5, 1)))
    state = PSO.tell(state, moved, scored(np.zeros(5)))
    assert not state.arrays["velocity"].any()


def test_a_failure_is_nobodys_best_place() -> None:
    """Neither of the particle itself nor of the swarm."""
    first = np.random.default_rng(1).uniform(0.4, 0.6, (5, 2))
    state = PSO.tell(PSO.initial(np.full(2, 0.5)), first, scored([-3.0, -2.0, -9.0, -9.0, -9.0]))
    state = PSO.tell(state, first + 0.1, scored(np.zeros(5), range(5)))
    assert np.array_equal(state.arrays["own"], first)
