"""CMA-ES with margin on DEAP's implementation: indicators and numbers together.

Hamano, Saito, Nomura and Shirakawa, GECCO 2022. An indicator is on where its coordinate exceeds
the threshold; after each update its mean is moved back until both values keep the probability of
the margin, 1/(n lambda) by default. (The paper's further step, which widens single axes, is for
integers with more than two values.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from deap import cma

from tsugiki.config.mixed_strategies import CmaEsMargin
from tsugiki.evolve.margin import first_mean, with_margin
from tsugiki.evolve.state import Array, State
from tsugiki.evolve.strategies.cma_es import (
    boundary_penalty,
    default_population,
    freeze,
    individuals,
    thaw,
)
from tsugiki.evolve.strategy import Asked, seeded_globals
from tsugiki.space.genome import GeneKinds

KIND = "cma_es_margin"


@dataclass(frozen=True)
class CmaEsMarginStrategy:
    """CMA-ES with margin, with the settings of a stage."""

    settings: CmaEsMargin

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """The identity as covariance, `sigma` as step, indicators as probable as `start` says."""
        binary = (kinds or GeneKinds.numbers(len(start))).binary
        population = self.settings.population or default_population(len(start))
        strategy = cma.Strategy(
            centroid=first_mean(start, binary, self.settings.sigma),
            sigma=self.settings.sigma,
            lambda_=population,
        )
        state = freeze(strategy, population, KIND)
        return State(KIND, {**state.arrays, "binary": binary.astype(np.float64)}, state.scalars)

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Draw a generation from the normal distribution of the state."""
        with seeded_globals(key):
            drawn = thaw(state).generate(np.asarray)
        return [Asked(np.array(genome, dtype=np.float64)) for genome in drawn]

    def tell(self, state: State, genomes: Sequence[Array], fitness: Sequence[float]) -> State:
        """Update mean, step and covariance, then keep the margin."""
        strategy = thaw(state)
        binary = state.arrays["binary"] > 0
        variance = strategy.sigma**2 * np.diag(strategy.C)
        penalty = boundary_penalty(
            np.asarray(genomes)[:, ~binary], np.asarray(fitness), variance[~binary]
        )
        strategy.update(individuals(genomes, fitness - penalty))
        population = state.scalars["population"]
        strategy.centroid = with_margin(
            strategy.centroid,
            strategy.sigma * np.sqrt(np.diag(strategy.C)),
            binary,
            self.settings.margin or 1 / (len(binary) * population),
        )
        told = freeze(strategy, population, KIND)
        return State(KIND, {**told.arrays, "binary": state.arrays["binary"]}, told.scalars)

    def mean(self, state: State) -> Array | None:
        """The distribution's mean: of an indicator, the more probable value."""
        return state.arrays["centroid"]
