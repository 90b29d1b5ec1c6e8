"""Every strategy that learns is ahead of random search at equal budget, where scores are noisy.

Searches are keyed, and so the same ones each time. A strategy has to be ahead of random search in ten of
eleven pairs of searches at least: by chance alone, that happens once in 170 times (sign test).
"""

from __future__ import annotations

from collections.abc import Callable

import moocore
import numpy as np
import pytest

from tests.strategies.scored import scored
from tests.strategies.test_nsga2 import zdt1
from tests.strategies.test_registry import STRATEGIES
from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import nondominated
from tsugiki.keyed import generator
from tsugiki.strategies.random_search import RandomSearch
from tsugiki.strategies.state import Array
from tsugiki.strategies.strategy import Strategy, clip

GENES, POPULATION, PAIRS, AHEAD = 8, 12, 11, 10
LEARN = {
    name: one.model_copy(update={"sigma": 1 / 6}) if hasattr(one, "sigma") else one
    for name, one in STRATEGIES.items()
    if one.weighs and one.kind != "random"
}
FRONT = [one for one in STRATEGIES.values() if not one.weighs]
FLIP = ["cma_es_margin", "sep_cma", "bit_cma", "genetic"]
"""Those that know of indicators."""
OPTIMUM = np.linspace(0.25, 0.75, GENES)
ROTATION = np.linalg.qr(generator("rotation").normal(size=(GENES, GENES)))[0]

Function = Callable[[Array], Array]


def sphere(cube: Array) -> Array:
    """Minus the squared distance to the optimum."""
    return -((cube - OPTIMUM) ** 2).sum(axis=1)


def ellipsoid(cube: Array) -> Array:
    """Rotated, with axes of 1 to 100."""
    turned = (cube - OPTIMUM) @ ROTATION
    return -(turned**2 * 10.0 ** np.linspace(-2, 0, GENES)).sum(axis=1)


def rastrigin(cube: Array) -> Array:
    """A sphere with four hills and valleys along each gene."""
    away = cube - OPTIMUM
    return -(away**2 + 0.02 * (1 - np.cos(8 * np.pi * away))).sum(axis=1)


def one_max(cube: Array) -> Array:
    """The share of indicators that are on."""
    return (cube > 0.5).mean(axis=1)


def found(strategy: Strategy, function: Function, kinds: GeneKinds, seed: int) -> float:
    """The true value of the candidate that scored best, in 40 generations with noise.

    The noise has a tenth of the standard deviation that a random candidate's score has.
    """
    noise = 0.1 * function(generator("scale").random((1000, GENES))).std()
    start = np.where(kinds.binary, 0.2, 0.5)
    state = strategy.initial(start, kinds)
    best, value = -np.inf, -np.inf
    for generation in range(40):
        genomes = np.array([one.genome for one in strategy.ask(state, (seed, generation))])
        true = function(clip(genomes))
        seen = true + noise * generator("noise", seed, generation).normal(size=len(true))
        if seen.max() > best:
            best, value = seen.max(), float(true[seen.argmax()])
        state = strategy.tell(state, genomes, scored(seen))
    return value


@pytest.mark.parametrize("function", [sphere, ellipsoid, rastrigin])
@pytest.mark.parametrize("name", LEARN)
def test_numbers_are_found_better_than_by_chance(name: str, function: Function) -> None:
    """Functions that are smooth, stretched along no axis of the genes, or full of hills."""
    if name == "coordinate_climb" and function is ellipsoid:
        pytest.skip("a climb by coordinates is lost on a narrow ridge that lies along none of them")
    numbers = GeneKinds.numbers(GENES)
    chance = RandomSearch(kind="random", population=POPULATION)
    pairs = [
        found(LEARN[name], function, numbers, seed) > found(chance, function, numbers, seed)
        for seed in range(PAIRS)
    ]
    assert sum(pairs) >= AHEAD


@pytest.mark.parametrize("name", FLIP)
def test_indicators_are_found_better_than_by_chance(name: str) -> None:
    """Thirty of them, a fifth on at the start."""
    genes = 30
    kinds = GeneKinds(np.ones(genes, dtype=np.bool_), np.full(genes, -1))

    def last(strategy: Strategy, seed: int) -> float:
        state, best = strategy.initial(np.full(genes, 0.2), kinds), (-np.inf, 0.0)
        for generation in range(40):
            genomes = np.array([one.genome for one in strategy.ask(state, (seed, generation))])
            true = one_max(genomes)
            seen = true + 0.02 * generator("noise", seed, generation).normal(size=len(true))
            best = max(best, (float(seen.max()), float(true[seen.argmax()])))
            state = strategy.tell(state, genomes, scored(seen))
        return best[1]

    chance = RandomSearch(kind="random", population=POPULATION)
    pairs = [last(STRATEGIES[name], seed) > last(chance, seed) for seed in range(PAIRS)]
    assert sum(pairs) >= AHEAD


def dtlz2(genomes: Array) -> Array:
    """Deb, Thiele, Laumanns and Zitzler 2002, three objectives, to be maximised: the front is a sphere."""
    cube = clip(genomes)
    radius = 1 + ((cube[:, 2:] - 0.5) ** 2).sum(axis=1)
    first, second = (np.pi / 2 * cube[:, :2]).T
    rows = [np.cos(first) * np.cos(second), np.cos(first) * np.sin(second), np.sin(first)]
    return -radius[:, None] * np.stack(rows, axis=1)


def volume(
    strategy: Strategy, function: Function, reference: Array, generations: int, seed: int
) -> float:
    """What all candidates of a search dominate, up to a point."""
    state = strategy.initial(np.full(GENES, 0.5))
    history = []
    for generation in range(generations):
        genomes = np.array([one.genome for one in strategy.ask(state, (seed, generation))])
        history.append(function(genomes))
        state = strategy.tell(state, genomes, scored(history[-1]))
    values = np.concatenate(history)
    return float(moocore.hypervolume(-values[nondominated(values)], ref=reference))


@pytest.mark.parametrize(
    ("function", "reference"),
    [(zdt1, np.array([1.1, 11.0])), (dtlz2, np.full(3, 1.1))],
    ids=["zdt1", "dtlz2"],
)
@pytest.mark.parametrize("strategy", FRONT, ids=lambda one: one.kind)
def test_fronts_are_found_better_than_by_chance(
    strategy: Strategy, function: Function, reference: Array
) -> None:
    """By the volume that they dominate, at equal budget."""
    wide = strategy.model_copy(update={"population": 16})
    chance = RandomSearch(kind="random", population=16)
    pairs = [
        volume(wide, function, reference, 30, seed) > volume(chance, function, reference, 30, seed)
        for seed in range(PAIRS)
    ]
    assert sum(pairs) >= AHEAD
