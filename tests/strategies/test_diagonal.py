"""CMA-ES with a diagonal covariance, against DEAP's with a full one and its paper."""

from __future__ import annotations

import math

import numpy as np
from deap import cma

from tsugiki.strategies.cma_es import individuals
from tsugiki.strategies.sep_cma import Diagonal, constants, length


def test_one_gene_takes_the_steps_of_deap() -> None:
    """A diagonal of one is the whole matrix: mean, variance and step agree."""
    ours = Diagonal.start(np.array([0.5]), 0.2)
    peer = cma.Strategy(centroid=[0.5], sigma=0.2, lambda_=8)
    for generation in range(12):
        genomes = ours.sample(8, np.random.default_rng(generation))
        fitness = -((genomes[:, 0] - 0.3) ** 2)
        peer.update(individuals(list(genomes), fitness))
        ours = ours.update(genomes, fitness)
        assert math.isclose(ours.mean[0], peer.centroid[0], rel_tol=1e-10)
        assert math.isclose(ours.variance[0], peer.C[0, 0], rel_tol=1e-10)
        assert math.isclose(ours.sigma, peer.sigma, rel_tol=1e-10)


def test_the_diagonal_learns_faster_by_the_factor_of_the_paper() -> None:
    """(n + 2)/3 times the rates of the full matrix (Ros and Hansen, section 3)."""
    peer = cma.Strategy(centroid=[0.0] * 40, sigma=1.0, lambda_=15)
    known = constants(40, 15)
    assert math.isclose(known.c1, 14 * peer.ccov1)
    assert math.isclose(known.cmu, 14 * peer.ccovmu)
    assert np.allclose(known.weights, peer.weights)
    assert (known.cs, known.cc, known.damps) == (peer.cs, peer.cc, peer.damps)
    assert math.isclose(length(40), peer.chiN)


def test_it_solves_a_stretched_ellipsoid() -> None:
    """Axes of very different length, in parallel to the genes."""
    stretch = 10.0 ** np.linspace(0, 4, 10)
    ours = Diagonal.start(np.full(10, 0.5), 0.2)
    for generation in range(250):
        genomes = ours.sample(12, np.random.default_rng(generation))
        ours = ours.update(genomes, -((genomes - 0.2) ** 2 * stretch).sum(axis=1))
    assert np.abs(ours.mean - 0.2).max() < 1e-4
    assert ours.variance[0] > 100 * ours.variance[-1]


def test_a_gene_that_no_good_candidate_uses_stays_as_it_is() -> None:
    """Whatever was drawn for it says nothing."""
    ours = Diagonal.start(np.full(3, 0.5), 0.2)
    used = np.ones((8, 3), dtype=np.bool_)
    used[:, 1] = False
    for generation in range(5):
        genomes = ours.sample(8, np.random.default_rng(generation))
        ours = ours.update(genomes, -genomes.sum(axis=1), used)
    assert ours.mean[1] == 0.5
    assert ours.variance[1] == 1.0
    assert ours.mean[0] < 0.4
    assert ours.mean[2] < 0.4


def test_a_gene_learns_only_from_candidates_that_use_it() -> None:
    """Its mean is that of the better users, by their weights."""
    ours = Diagonal.start(np.array([0.0]), 1.0)
    genomes = np.array([[1.0], [2.0], [3.0], [4.0]])
    used = np.array([[False], [True], [True], [True]])
    updated = ours.update(genomes, np.array([4.0, 3.0, 2.0, 1.0]), used)
    assert math.isclose(updated.mean[0], 2.0)


def test_no_gene_in_use_changes_nothing_but_the_count() -> None:
    """A generation of paths without any scale."""
    ours = Diagonal.start(np.array([0.5, 0.5]), 0.2)
    genomes = ours.sample(6, np.random.default_rng(1))
    updated = ours.update(genomes, genomes.sum(axis=1), np.zeros((6, 2), dtype=np.bool_))
    assert np.array_equal(updated.mean, ours.mean)
    assert updated.sigma == ours.sigma


def test_neutral_selection_neither_widens_nor_narrows_a_gene_that_is_rarely_used() -> None:
    """With random fitness and a third of the users missing, the step's logarithm does not drift."""
    drift = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        ours = Diagonal.start(np.full(8, 0.5), 0.2)
        for _ in range(40):
            genomes = ours.sample(12, generator)
            used = generator.random((12, 8)) < 0.67
            ours = ours.update(genomes, generator.random(12), used)
        drift.append(math.log(ours.sigma / 0.2))
    assert abs(np.mean(drift)) < 3 * np.std(drift) / math.sqrt(len(drift)) + 0.2
