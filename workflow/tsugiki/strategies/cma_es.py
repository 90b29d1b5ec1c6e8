"""CMA-ES on DEAP's implementation.

Hansen and Ostermeier, "Completely derandomized self-adaptation in evolution strategies",
Evolutionary Computation 9(2), 2001. Bounds follow Hansen, Niederberger, Guzzella and Koumoutsakos
(IEEE Transactions on Evolutionary Computation 13(1), 2009): a candidate outside the unit cube is
scored at the nearest point inside, and its distance costs fitness in proportion to the spread
of its generation, so that the search feels the wall but never meets a plateau.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from deap import base, cma
from pydantic import Field

from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, Strategy, seeded_globals

MOST_GENES = 2000
"""A full covariance of so many genes puts three matrices of 32 MB into each state."""

_ARRAYS = ("centroid", "pc", "ps", "C", "B", "BD", "diagD")
_SCALARS = ("sigma", "update_count")


class _Maximised(base.Fitness):  # type: ignore[misc]
    weights = (1.0,)


class _Individual(list[float]):
    def __init__(self, genome: Array) -> None:
        super().__init__(genome.tolist())
        self.fitness = _Maximised()


class FullCovariance(Strategy):
    """A normal distribution with all covariances, in DEAP's `cma.Strategy`."""

    kind: str
    """Its name."""
    sigma: Annotated[float, Field(gt=0, le=1)] = 1 / 6
    """First step size, in units of the genes' ranges."""
    population: Annotated[int, Field(ge=2)] | None = None
    """Candidates in a generation; 4 + floor(3 ln n) for n genes if absent."""

    def faults(self, objectives: int, genes: int | None = None) -> Iterator[str]:
        """No more genes than a state can hold the covariances of."""
        del objectives
        if genes is not None and genes > MOST_GENES:
            yield (
                f"{genes:,} genes are too many genes for {self.kind}, which learns all their "
                f"covariances: it takes {MOST_GENES:,}; use the strategy `sep_cma`, or fewer genes"
            )

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Draw a generation from the normal distribution of the state."""
        with seeded_globals(key):
            drawn = thaw(state).generate(np.asarray)
        return [Asked(np.array(genome, dtype=np.float64)) for genome in drawn]

    def mean(self, state: State) -> Array | None:
        """The distribution's mean: of an indicator, the more probable value."""
        return state.arrays["centroid"]

    def start(self, mean: Array) -> State:
        """The paper's start about a mean: the identity as covariance, `sigma` as step."""
        size = self.population or default_population(len(mean))
        return freeze(cma.Strategy(centroid=mean, sigma=self.sigma, lambda_=size), size, self.kind)


class CmaEs(FullCovariance):
    """CMA-ES, as in the paper (Hansen and Ostermeier 2001)."""

    forgets: ClassVar[bool] = True

    kind: Literal["cma_es"] = "cma_es"
    """CMA-ES."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """Normal about the start. Indicators are numbers to it; `cma_es_margin` knows better."""
        del kinds
        return self.start(np.array(start))

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Update mean, step and covariance."""
        strategy, fitness = thaw(state), weighted_sum(scores)
        variance = strategy.sigma**2 * np.diag(strategy.C)
        penalised = fitness - boundary_penalty(genomes, fitness, variance)
        strategy.update(individuals(genomes, penalised))
        return freeze(strategy, state.scalars["population"])


def default_population(genes: int) -> int:
    """Hansen's default: 4 + floor(3 ln n)."""
    return 4 + math.floor(3 * math.log(genes))


def individuals(genomes: Array, fitness: Array) -> list[Any]:
    """Genomes with their fitness, as DEAP wants them."""
    made = []
    for genome, value in zip(genomes, fitness, strict=True):
        individual = _Individual(genome)
        individual.fitness.values = (float(value),)
        made.append(individual)
    return made


def boundary_penalty(genomes: Array, fitness: Array, variance: Array) -> Array:
    """What leaving the unit cube costs.

    Args:
        genomes: shape (population, genes), raw.
        fitness: shape (population,), finite.
        variance: shape (genes,), of the search distribution along each axis.

    Returns:
        shape (population,): the mean over genes of the squared distance to the cube, in units of
        the distribution's variance, times the interquartile range of the fitness.
    """
    if not genomes.shape[1]:
        return np.zeros(len(genomes))
    distance = (genomes - np.clip(genomes, 0.0, 1.0)) ** 2 / variance
    upper, lower = np.percentile(fitness, [75, 25])
    spread = upper - lower if upper > lower else 1.0
    return np.asarray(2.0 * spread * distance.mean(axis=1), dtype=np.float64)


def freeze(strategy: Any, population: int, kind: str = "cma_es") -> State:
    """The whole state of DEAP's strategy."""
    return State(
        kind,
        {name: np.asarray(getattr(strategy, name), dtype=np.float64) for name in _ARRAYS},
        {
            "population": population,
            "sigma": float(strategy.sigma),
            "update_count": int(strategy.update_count),
        },
    )


def thaw(state: State) -> Any:
    """DEAP's strategy in a state."""
    strategy = cma.Strategy(
        centroid=state.arrays["centroid"],
        sigma=state.scalars["sigma"],
        lambda_=state.scalars["population"],
    )
    for name in _ARRAYS:
        setattr(strategy, name, state.arrays[name])
    for name in _SCALARS:
        setattr(strategy, name, state.scalars[name])
    return strategy
