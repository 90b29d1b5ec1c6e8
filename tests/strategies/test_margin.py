"""The margin of Hamano et al.: both values of an indicator stay possible."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from tests.strategies.scored import scored
from tsugiki.contracts.genome import GeneKinds
from tsugiki.strategies.cma_es_margin import CmaEsMargin, with_margin
from tsugiki.strategies.sep_cma import SeparableCmaEs
from tsugiki.strategies.strategy import Strategy, first_mean

BINARY = np.array([True, True, True, False])


def test_the_first_mean_gives_each_indicator_its_probability() -> None:
    """P(coordinate > 1/2) under the normal distribution; numbers stay where they are."""
    start = np.array([0.1, 0.5, 0.9, 0.3])
    mean = first_mean(start, BINARY, sigma=0.2)
    on = [1 - NormalDist(value, 0.2).cdf(0.5) for value in mean[:3]]
    assert np.allclose(on, start[:3])
    assert mean[3] == 0.3


def test_the_margin_is_the_least_probability_that_remains() -> None:
    """A mean too far off comes back to it; others, and numbers, stay."""
    mean = np.array([-3.0, 0.55, 9.0, 9.0])
    deviation = np.array([0.1, 0.1, 0.4, 0.4])
    kept = with_margin(mean, deviation, BINARY, probability=0.05)
    on = [1 - NormalDist(m, d).cdf(0.5) for m, d in zip(kept, deviation, strict=True)]
    assert np.allclose([on[0], on[2]], [0.05, 0.95])
    assert kept[1] == 0.55
    assert kept[3] == 9.0


@pytest.mark.parametrize(
    "settings",
    [CmaEsMargin(kind="cma_es_margin", margin=0.02), SeparableCmaEs(kind="sep_cma", margin=0.02)],
    ids=lambda one: one.kind,
)
def test_no_indicator_dies_out_in_a_long_search(settings: Strategy) -> None:
    """However clearly selection prefers one value, the other keeps its share of draws."""
    strategy = settings
    kinds = GeneKinds(np.ones(6, dtype=np.bool_), np.full(6, -1))
    state = strategy.initial(np.full(6, 0.5), kinds)
    for generation in range(200):
        genomes = [one.genome for one in strategy.ask(state, (1, generation))]
        fitness = [float((genome > 0.5).sum()) for genome in genomes]
        state = strategy.tell(state, np.array(genomes), scored(fitness))
    drawn = [one.genome for number in range(100) for one in strategy.ask(state, (2, number))]
    off = (np.array(drawn) <= 0.5).mean(axis=0)
    assert off.min() > 0.01
    assert off.max() < 0.5
