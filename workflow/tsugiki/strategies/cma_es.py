"""CMA-ES on DEAP's implementation.

Hansen and Ostermeier, "Completely derandomized self-adaptation in evolution strategies",
Evolutionary Computation 9(2), 2001. Bounds follow Hansen, Niederberger, Guzzella and Koumoutsakos
(IEEE Transactions on Evolutionary Computation 13(1), 2009): a candidate outside the unit cube is
scored at the nearest point inside, and its distance costs fitness in proportion to the spread
of its generation, so that the search feels the wall but never meets a plateau.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from deap import base, cma
from pydantic import Field

from tsugiki.contracts.data import Section
from tsugiki.contracts.genome import GeneKinds
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, seeded_globals

_ARRAYS = ("centroid", "pc", "ps", "C", "B", "BD", "diagD")
_SCALARS = ("sigma", "update_count")


class _Maximised(base.Fitness):  # type: ignore[misc]
    weights = (1.0,)


class _Individual(list[float]):
    def __init__(self, genome: Array) -> None:
        super().__init__(genome.tolist())
        self.fitness = _Maximised()


class CmaEs(Section):
    """CMA-ES, as in the paper (Hansen and Ostermeier 2001)."""

    kind: Literal["cma_es"] = "cma_es"
    """CMA-ES."""
    sigma: Annotated[float, Field(gt=0, le=1)] = 1 / 6
    """First step size, in units of the genes' ranges."""
    population: Annotated[int, Field(ge=2)] | None = None
    """Candidates in a generation; 4 + floor(3 ln n) for n genes if absent."""


@dataclass(frozen=True)
class CmaEsStrategy:
    """CMA-ES with the settings of a stage."""

    settings: CmaEs

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """The paper's start: the identity as covariance, `sigma` as step."""
        del kinds  # indicators are numbers to it; `cma_es_margin` knows better
        population = self.settings.population or default_population(len(start))
        strategy = cma.Strategy(
            centroid=np.array(start), sigma=self.settings.sigma, lambda_=population
        )
        return freeze(strategy, population)

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Draw a generation from the normal distribution of the state."""
        with seeded_globals(key):
            drawn = thaw(state).generate(_Individual)
        return [Asked(np.array(individual, dtype=np.float64)) for individual in drawn]

    def tell(self, state: State, genomes: Sequence[Array], fitness: Sequence[float]) -> State:
        """Update mean, step and covariance."""
        strategy = thaw(state)
        penalised = fitness - boundary_penalty(
            np.asarray(genomes), np.asarray(fitness), strategy.sigma**2 * np.diag(strategy.C)
        )
        strategy.update(individuals(genomes, penalised))
        return freeze(strategy, state.scalars["population"])

    def mean(self, state: State) -> Array | None:
        """The distribution's mean."""
        return state.arrays["centroid"]


def default_population(genes: int) -> int:
    """Hansen's default: 4 + floor(3 ln n)."""
    return 4 + math.floor(3 * math.log(genes))


def individuals(genomes: Sequence[Array], fitness: Sequence[float] | Array) -> list[Any]:
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
