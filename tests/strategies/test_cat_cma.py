"""CatCMA, against its paper's authors' own implementation."""

from __future__ import annotations

import numpy as np
import pytest

from tests.strategies.scored import scored
from tsugiki.contracts.genome import GeneKinds
from tsugiki.strategies.cat_cma import CatCma
from tsugiki.strategies.state import Array

BITS, NUMBERS, POPULATION = 4, 3, 8
KINDS = GeneKinds(np.arange(BITS + NUMBERS) < BITS, np.full(BITS + NUMBERS, -1))
STRATEGY = CatCma(kind="cat_cma", population=POPULATION, sigma=0.2)


def test_four_generations_come_to_what_the_package_cmaes_comes_to() -> None:
    """`cmaes.CatCMA` 0.13.1 was told of the same candidates and values; all of them lie in the cube."""
    random = np.random.default_rng(5)
    state = STRATEGY.initial(np.full(BITS + NUMBERS, 0.5), KINDS)
    for _ in range(4):
        x = np.clip(0.5 + 0.2 * random.normal(size=(POPULATION, NUMBERS)) * 0.5, 0, 1)
        c = random.random((POPULATION, BITS)) < 0.5
        values = ((x - 0.7) ** 2).sum(axis=1) - c.sum(axis=1) + 0.1 * np.arange(BITS) @ c.T
        state = STRATEGY.tell(state, np.concatenate([c, x], axis=1).astype(float), scored(-values))
    probability = [0.79814151, 0.81844605, 0.9243378, 0.69430781]
    assert state.arrays["probability"] == pytest.approx(probability, abs=1e-8)
    assert state.arrays["centroid"] == pytest.approx([0.42580433, 0.54491052, 0.56282004])
    assert state.scalars["sigma"] == pytest.approx(0.1165359896813503)
    covariance = [
        [0.75563481, -0.05537337, -0.07025885],
        [-0.05537337, 0.68463024, 0.05273603],
        [-0.07025885, 0.05273603, 0.5727869],
    ]
    assert np.allclose(state.arrays["C"], covariance, rtol=0, atol=1e-8)


def test_both_values_of_an_indicator_keep_the_margin() -> None:
    """1 - 0.73^(1/4) of four indicators, however often the one value is better."""
    state = STRATEGY.initial(np.full(BITS + NUMBERS, 0.5), KINDS)
    for generation in range(60):
        genomes: Array = np.array([one.genome for one in STRATEGY.ask(state, (1, generation))])
        assert set(np.unique(genomes[:, :BITS])) <= {0.0, 1.0}
        state = STRATEGY.tell(state, genomes, scored(genomes[:, :BITS].sum(axis=1).tolist()))
    margin = 1 - 0.73 ** (1 / BITS)
    assert state.arrays["probability"] == pytest.approx(1 - margin)
    wide = STRATEGY.model_copy(update={"margin": 0.2}).initial(np.full(7, 0.01), KINDS)
    assert wide.arrays["probability"].tolist() == [0.2] * BITS


def test_what_leaving_the_cube_costs_is_no_matter_of_indicators() -> None:
    """Numbers are scored at the nearest point of the cube, where the indicators did as well."""
    state = STRATEGY.initial(np.full(BITS + NUMBERS, 0.5), KINDS)
    genomes: Array = np.array([one.genome for one in STRATEGY.ask(state, (1, 0))])
    values = np.arange(POPULATION, dtype=np.float64).tolist()
    outside = genomes.copy()
    outside[-4:, BITS:] += 5
    inside_after, outside_after = (
        STRATEGY.tell(state, one, scored(values)) for one in (genomes, outside)
    )
    same = [one.arrays["probability"].tolist() for one in (inside_after, outside_after)]
    assert same[0] == same[1]
    assert not np.array_equal(inside_after.arrays["centroid"], outside_after.arrays["centroid"])
