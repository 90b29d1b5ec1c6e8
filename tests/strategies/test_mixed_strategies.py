"""Strategies for indicators and numbers together, and for very many genes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tests.strategies.scored import scored
from tsugiki.contracts.genome import GeneKinds
from tsugiki.strategies.bit_cma import BitCma, used
from tsugiki.strategies.cat_cma import CatCma
from tsugiki.strategies.cma_es_margin import CmaEsMargin
from tsugiki.strategies.genetic import Genetic
from tsugiki.strategies.random_search import RandomSearch
from tsugiki.strategies.sep_cma import SeparableCmaEs
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Strategy, clip

BITS, NUMBERS = 20, 8
KINDS = GeneKinds(
    binary=np.array([True] * BITS + [False] * NUMBERS),
    switch=np.array([-1] * BITS + [*range(NUMBERS)]),
)
START = np.array([0.1] * BITS + [0.5] * NUMBERS)
POPULATION = 16
SETTINGS: dict[str, Strategy] = {
    "cma_es_margin": CmaEsMargin(kind="cma_es_margin", population=POPULATION),
    "sep_cma": SeparableCmaEs(kind="sep_cma", population=POPULATION),
    "bit_cma": BitCma(kind="bit_cma", population=POPULATION),
    "cat_cma": CatCma(kind="cat_cma", population=POPULATION),
    "genetic": Genetic(kind="genetic", population=POPULATION),
}
RANDOM = RandomSearch(kind="random", population=POPULATION)

Function = Callable[[Array], float]


@pytest.fixture(params=SETTINGS)
def strategy(request: pytest.FixtureRequest) -> Strategy:
    """Each strategy in turn."""
    return SETTINGS[request.param]


def one_max_and_sphere(genome: Array) -> float:
    """Indicators that are on, minus the distance of the numbers that they switch from 0.8."""
    bits = genome[:BITS] > 0.5
    numbers = clip(genome[BITS:])
    distance = ((numbers - 0.8) ** 2)[bits[:NUMBERS]].sum()
    return float(bits.sum() - 4 * distance)


def leading_ones(genome: Array) -> float:
    """Indicators that are on before the first that is off: all others make no difference."""
    bits = genome[:BITS] > 0.5
    return float(np.cumprod(bits).sum())


def search(
    strategy: Strategy, function: Function, generations: int, seed: int
) -> tuple[float, State]:
    """The best fitness, and the state after the last generation."""
    state = strategy.initial(START, KINDS)
    best = -np.inf
    for generation in range(generations):
        genomes = [one.genome for one in strategy.ask(state, (seed, generation))]
        fitness = [function(genome) for genome in genomes]
        best = max(best, *fitness)
        state = strategy.tell(state, np.array(genomes), scored(fitness))
    return best, state


def mean_best(settings: Strategy, function: Function, generations: int) -> float:
    """Over five seeds."""
    strategy = settings
    return float(np.mean([search(strategy, function, generations, seed)[0] for seed in range(5)]))


@pytest.mark.parametrize("function", [one_max_and_sphere, leading_ones])
def test_each_strategy_beats_random_search_at_equal_budget(
    strategy: Strategy, function: Function
) -> None:
    """By a whole indicator, on average over five seeds."""
    ours = np.mean([search(strategy, function, 100, seed)[0] for seed in range(5)])
    assert ours > mean_best(RANDOM, function, 100) + 1


def test_indicators_and_numbers_are_solved_together(strategy: Strategy) -> None:
    """All indicators on, and the numbers near their optimum.

    The last bits of linear algebra, another in each library, may cost one search an indicator.
    """
    best = sorted(search(strategy, one_max_and_sphere, 200, seed)[0] for seed in range(3))
    assert best[0] > BITS - 1.05
    assert best[1] > BITS - 0.05


def test_spaces_of_one_kind_work_too(strategy: Strategy) -> None:
    """Indicators alone, and numbers alone."""

    def improve(kinds: GeneKinds, function: Callable[[Array], float]) -> tuple[float, float]:
        state = strategy.initial(np.full(6, 0.3), kinds)
        best = []
        for generation in range(40):
            genomes = [one.genome for one in strategy.ask(state, (1, generation))]
            best.append(max(function(genome) for genome in genomes))
            state = strategy.tell(
                state, np.array(genomes), scored([function(genome) for genome in genomes])
            )
        return best[0], max(best)

    bits = GeneKinds(np.ones(6, dtype=np.bool_), np.full(6, -1))
    assert improve(bits, lambda genome: float((genome > 0.5).sum()))[1] == 6
    first, last = improve(
        GeneKinds.numbers(6), lambda genome: -float(((clip(genome) - 0.9) ** 2).sum())
    )
    assert last > first / 100


def test_first_generation_has_indicators_as_probable_as_the_start_says() -> None:
    """One in ten is on."""
    for kind, settings in SETTINGS.items():
        strategy = settings.model_copy(update={"population": 4000})
        drawn = np.array([one.genome for one in strategy.ask(strategy.initial(START, KINDS), (1,))])
        on = (drawn[:, :BITS] > 0.5).mean(axis=0)
        assert np.abs(on - 0.1).max() < 5 * np.sqrt(0.1 * 0.9 / 4000), kind


def test_bit_cma_tries_the_start_itself_first() -> None:
    """With it a search in data-flow space scores the owner's own path."""
    strategy = SETTINGS["bit_cma"]
    first = strategy.ask(strategy.initial(START, KINDS), (1,))[0].genome
    assert np.array_equal(first, np.array([0.0] * BITS + [0.5] * NUMBERS))


def test_bit_cma_names_the_parents_of_the_generation_before() -> None:
    """By their index in it."""
    strategy = SETTINGS["bit_cma"]
    state = strategy.initial(START, KINDS)
    genomes = [one.genome for one in strategy.ask(state, (1, 0))]
    state = strategy.tell(
        state, np.array(genomes), scored([one_max_and_sphere(genome) for genome in genomes])
    )
    parents = [one.parents for one in strategy.ask(state, (1, 1))]
    assert any(len(of) == 2 for of in parents)
    assert all(0 < len(of) <= 2 and max(of) < POPULATION for of in parents)


def test_numbers_are_used_where_their_indicator_is_on() -> None:
    """Those without an indicator always are."""
    genomes = np.array([[0.9, 0.1, 0.3, 0.3, 0.3], [0.2, 0.8, 0.3, 0.3, 0.3]])
    switch = np.array([-1, -1, 0, 1, -1])
    expected = [[True, True, True, False, True], [True, True, False, True, True]]
    assert used(genomes, switch).tolist() == expected


def test_sep_cma_runs_with_as_many_genes_as_the_paper_has() -> None:
    """T = 192 indicators and W of 64 x 64: the state is some vectors, not matrices."""
    size = 192 + 64 * 64
    kinds = GeneKinds(np.arange(size) < 192, np.full(size, -1))
    strategy = SeparableCmaEs(kind="sep_cma")
    state = strategy.initial(np.full(size, 0.4), kinds)
    for generation in range(3):
        genomes: Sequence[Array] = [one.genome for one in strategy.ask(state, (1, generation))]
        assert len(genomes) == 4 + 25  # 4 + floor(3 ln 4288)
        state = strategy.tell(
            state, np.array(genomes), scored([float(genome.sum()) for genome in genomes])
        )
    assert len(state.to_bytes()) < 6 * 8 * size


def test_a_genetic_algorithm_flips_each_indicator_with_the_rate_of_mutation() -> None:
    """One in five, and numbers move as they do without indicators."""
    strategy = Genetic(kind="genetic", population=2000, elite=0, crossover=0.0, mutation=0.2)
    state = strategy.initial(START, KINDS)
    genomes = np.tile(np.where(KINDS.binary, 1.0, 0.5), (2000, 1))
    state = strategy.tell(state, genomes, scored(np.zeros(2000)))
    drawn = np.array([one.genome for one in strategy.ask(state, (1,))])
    assert set(np.unique(drawn[:, :BITS])) == {0.0, 1.0}
    assert np.abs((drawn[:, :BITS] == 0).mean(axis=0) - 0.2).max() < 5 * np.sqrt(0.16 / 2000)
    assert np.abs((drawn[:, BITS:] != 0.5).mean(axis=0) - 0.2).max() < 5 * np.sqrt(0.16 / 2000)


def test_a_state_from_before_indicators_were_known_goes_on_as_it_did() -> None:
    """It names none, and all genes are numbers to it."""
    strategy = Genetic(kind="genetic", population=POPULATION)
    genomes = np.random.default_rng(1).random((POPULATION, BITS + NUMBERS))
    old = State("genetic", {"start": START, "genomes": genomes, "fitness": genomes.sum(axis=1)})
    drawn = np.array([one.genome for one in strategy.ask(old, (1,))])
    numbers = strategy.tell(strategy.initial(START), genomes, scored(genomes.sum(axis=1)))
    assert np.array_equal(drawn, [one.genome for one in strategy.ask(numbers, (1,))])
    assert not set(np.unique(drawn[:, 0])) <= {0.0, 1.0}
