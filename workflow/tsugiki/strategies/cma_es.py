"""CMA-ES on DEAP's implementation.

Hansen and Ostermeier, "Completely derandomized self-adaptation in evolution strategies",
Evolutionary Computation 9(2), 2001. Bounds follow Hansen, Niederberger, Guzzella and Koumoutsakos
(IEEE Transactions on Evolutionary Computation 13(1), 2009): a candidate outside the unit cube is
scored at the nearest point inside, and its distance costs fitness in proportion to the spread
of its generation, so that the search feels the wall but never meets a plateau.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from deap import base, cma
from numpy.typing import NDArray

from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.strategies.restarts import Restarting
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, seeded_globals, shorten

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


class FullCovariance(Restarting):
    """A normal distribution with a full covariance matrix, adapted by DEAP's `cma.Strategy`."""

    most_genes: ClassVar[int | None] = MOST_GENES
    learns: ClassVar[str] = "all their covariances"
    instead: ClassVar[str] = "the strategy `sep_cma`"

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Draw a generation from the normal distribution of the state."""
        strategy = thaw(state)
        strategy.lambda_ = state.scalars.get("size", strategy.lambda_)
        with seeded_globals(key):
            drawn = strategy.generate(np.asarray)
        return [Asked(np.array(genome, dtype=np.float64)) for genome in drawn]

    def shape(self, state: State) -> tuple[Array, Array, Array]:
        """Mean, deviations and axes of DEAP's strategy; of an indicator, the more probable value."""
        sigma, known = state.scalars["sigma"], state.arrays
        return known["centroid"], sigma * np.sqrt(np.diag(known["C"])), sigma * known["diagD"]

    def injected(self, state: State, genomes: Array) -> Array:
        """Injected candidates, moved towards the mean if they are far from it (see `shorten`)."""
        strategy = thaw(state)
        steps = (genomes - strategy.centroid) @ strategy.B / (strategy.diagD * strategy.sigma)
        moved = (shorten(steps) * strategy.diagD * strategy.sigma) @ strategy.B.T
        return np.asarray(strategy.centroid + moved, dtype=np.float64)

    def about(self, mean: Array, sigma: float, population: int) -> State:
        """The paper's start about a mean: the identity as covariance, `sigma` as step."""
        return freeze(
            cma.Strategy(centroid=mean, sigma=sigma, lambda_=population), population, self.kind
        )


class CmaEs(FullCovariance):
    """CMA-ES, as in the paper (Hansen and Ostermeier 2001)."""

    forgets: ClassVar[bool] = True

    kind: Literal["cma_es"] = "cma_es"
    """CMA-ES."""

    def begin(
        self, start: Array, binary: NDArray[np.bool_], sigma: float, population: int
    ) -> State:
        """Normal about the start. Indicators are numbers to it; `cma_es_margin` knows better."""
        del binary
        return self.about(np.array(start), sigma, population)

    def learn(self, state: State, genomes: Array, scores: Scores) -> State:
        """Update mean, step and covariance."""
        strategy, fitness = thaw(state), weighted_sum(scores)
        variance = strategy.sigma**2 * np.diag(strategy.C)
        penalised = fitness - boundary_penalty(genomes, fitness, variance)
        strategy.update(individuals(genomes, penalised))
        return freeze(strategy, state.scalars["population"])


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
