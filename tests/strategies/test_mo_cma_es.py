"""MO-CMA-ES, against DEAP's own loop."""

from __future__ import annotations

import numpy as np
from deap import cma

from tests.strategies.scored import scored
from tests.strategies.test_nsga2 import zdt1
from tsugiki.strategies.mo_cma_es import MoCmaEs
from tsugiki.strategies.pareto import Individual
from tsugiki.strategies.state import Array, State

MO = MoCmaEs(kind="mo_cma_es", population=6, sigma=0.02)
ADAPTED = ("sigmas", "A", "invCholesky", "pc", "psucc")


def asked(state: State, generation: int) -> Array:
    """Candidates."""
    return np.array([one.genome for one in MO.ask(state, (1, generation))])


def inside(genomes: Array) -> Array:
    """Two objectives whose front lies inside the cube: nothing is ever penalised."""
    return -np.stack([((genomes - at) ** 2).sum(axis=1) for at in (0.45, 0.55)], axis=1)


def test_it_takes_the_steps_of_deap_itself() -> None:
    """Step sizes, covariances and paths of all survivors, from the same candidates."""
    state = MO.initial(np.full(4, 0.5))
    genomes = asked(state, 0)
    state = MO.tell(state, genomes, scored(inside(genomes)))
    first = [Individual(*one) for one in zip(genomes, inside(genomes), range(6), strict=True)]
    peer = cma.StrategyMultiObjective(first, 0.02, mu=6, lambda_=6)
    for generation in range(1, 15):
        genomes = asked(state, generation)
        state = MO.tell(state, genomes, scored(inside(genomes)))
        peers = peer.generate(lambda genome: Individual(genome, np.zeros(2), 0))
        for one, genome, values in zip(peers, genomes, inside(genomes), strict=True):
            one[:] = genome.tolist()
            one.fitness.values = values.tolist()
        peer.update(peers)
        for name in ADAPTED:
            assert np.array_equal(state.arrays[name], np.array(getattr(peer, name)))
        assert np.array_equal(state.arrays["genomes"], np.array(peer.parents))


def test_a_failure_never_lives_and_makes_its_parents_step_smaller() -> None:
    """By the rule for a child that was not selected: exp(-p / (d (1 - p))) where p is the target."""
    state = MO.initial(np.full(4, 0.5))
    genomes = asked(state, 0)
    state = MO.tell(state, genomes, scored(inside(genomes)))
    told = MO.tell(state, asked(state, 1), scored(np.zeros((6, 2)), range(6)))
    assert np.array_equal(told.arrays["genomes"], state.arrays["genomes"])
    target, damping = 1 / 5.5, 1 + 4 / 2
    learned = target / (2 + target)
    success = (1 - learned) * target
    factor = np.exp((success - target) / (damping * (1 - target)))
    assert np.allclose(told.arrays["sigmas"], 0.02 * factor)


def test_it_begins_with_whoever_was_scored() -> None:
    """Two survivors have three children each; with nobody, the first generation is drawn anew."""
    state = MO.initial(np.full(4, 0.5))
    genomes = asked(state, 0)
    nobody = MO.tell(state, genomes, scored(np.zeros((6, 2)), range(6)))
    assert nobody.to_bytes() == state.to_bytes()
    two = MO.tell(state, genomes, scored(inside(genomes), [0, 2, 3, 5]))
    assert np.array_equal(two.arrays["genomes"], genomes[[1, 4]])
    assert two.arrays["told"].tolist() == [1, 4]
    assert [one.parents for one in MO.ask(two, (1, 1))] == [(0,), (1,)] * 3
    after = asked(two, 1)
    assert len(MO.tell(two, after, scored(inside(after))).arrays["genomes"]) == 6


def test_of_equal_scores_the_one_nearer_to_the_cube_lives() -> None:
    """A candidate outside pays a millionth of its squared distance (Igel et al., section 4.1.2)."""
    state = MO.initial(np.full(8, 0.5))
    genomes = np.full((6, 8), 0.5)
    genomes[:, 0] = [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    state = MO.tell(state, genomes, scored(zdt1(genomes)))
    better = genomes.copy()
    better[:, 0] = 1.1
    told = MO.tell(state, better, scored(zdt1(better)))
    assert told.arrays["genomes"][:, 0].max() < 1.2


def test_what_it_cannot_be_given_is_a_fault() -> None:
    """One objective, or more genes than covariances fit into a state."""
    assert list(MO.faults(objectives=2, genes=300)) == []
    assert "front" in next(MO.faults(objectives=1)) or "objectives" in next(MO.faults(objectives=1))
    assert "301 genes" in next(MO.faults(objectives=2, genes=301))
