"""CMA-ES with margin on DEAP's implementation: indicators and numbers together.

Hamano, Saito, Nomura and Shirakawa, GECCO 2022. An indicator is on where its coordinate exceeds
the threshold; after each update its mean is moved back until both values keep the probability of
the margin, 1/(n lambda) by default. (The paper's further step, which widens single axes, is for
integers with more than two values.)

The margin: neither value of an indicator ever becomes too improbable.

Hamano, Saito, Nomura and Shirakawa, "CMA-ES with Margin: Lower-Bounding Marginal Probability for
Mixed-Integer Black-Box Optimization", GECCO 2022, section 4, for binary variables. Without it the
distribution of an indicator soon lies on one side of the threshold as a whole, and the search
stalls on a plateau.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, Literal

import numpy as np
from deap import cma
from numpy.typing import NDArray
from pydantic import Field

from tsugiki.contracts.data import Section
from tsugiki.contracts.genome import THRESHOLD, GeneKinds
from tsugiki.strategies.cma_es import (
    boundary_penalty,
    default_population,
    freeze,
    individuals,
    thaw,
)
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, seeded_globals

_SURE = 1e-9


def first_mean(start: Array, binary: NDArray[np.bool_], sigma: float) -> Array:
    """The mean whose indicators are on with the probabilities of `start`.

    Args:
        start: shape (genes,): coordinates of numbers, probabilities of indicators.
        binary: shape (genes,).
        sigma: Standard deviation of every gene.
    """
    mean = np.array(start, dtype=np.float64)
    for index in np.flatnonzero(binary):
        probability = min(max(float(start[index]), _SURE), 1 - _SURE)
        mean[index] = THRESHOLD + sigma * NormalDist().inv_cdf(probability)
    return mean


def with_margin(
    mean: Array, deviation: Array, binary: NDArray[np.bool_], probability: float
) -> Array:
    """The mean, with indicators no farther from the threshold than the margin allows.

    Args:
        mean: shape (genes,).
        deviation: shape (genes,): standard deviation of each gene.
        binary: shape (genes,).
        probability: The least that either value of an indicator keeps (the paper's alpha).
    """
    reach = deviation * NormalDist().inv_cdf(1 - probability)
    kept = THRESHOLD + np.clip(mean - THRESHOLD, -reach, reach)
    return np.where(binary, kept, mean)


KIND = "cma_es_margin"


class CmaEsMargin(Section):
    """CMA-ES with margin, for indicators and numbers together (Hamano et al. 2022)."""

    kind: Literal["cma_es_margin"]
    """CMA-ES with margin."""
    sigma: Annotated[float, Field(gt=0, le=1)] = 1 / 6
    """First step size, in units of the genes' ranges."""
    population: Annotated[int, Field(ge=2)] | None = None
    """Candidates in a generation; 4 + floor(3 ln n) for n genes if absent."""
    margin: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """Smallest probability of either value of an indicator; 1/(n times population) if absent."""


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
