"""CMA-ES with margin on DEAP's implementation: indicators and numbers together.

Hamano, Saito, Nomura and Shirakawa, "CMA-ES with Margin: Lower-Bounding Marginal Probability for
Mixed-Integer Black-Box Optimization", GECCO 2022, section 4, for binary variables. An indicator is on
where its coordinate exceeds the threshold; after each update its mean is moved back until both values
keep the probability of the margin, 1/(n lambda) by default. Without it the distribution of an indicator
soon lies on one side of the threshold as a whole, and the search stalls on a plateau. (The paper's
further step, which widens single axes, is for integers with more than two values.)
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tsugiki.contracts.genome import THRESHOLD, GeneKinds
from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.strategies.cma_es import (
    FullCovariance,
    boundary_penalty,
    freeze,
    individuals,
    thaw,
)
from tsugiki.strategies.state import Array, State

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


class CmaEsMargin(FullCovariance):
    """CMA-ES with margin, for indicators and numbers together (Hamano et al. 2022)."""

    forgets: ClassVar[bool] = True

    kind: Literal["cma_es_margin"]
    """CMA-ES with margin."""
    margin: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """Smallest probability of either value of an indicator; 1/(n times population) if absent."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """Normal about the start, with indicators as probable as it says."""
        binary = (kinds or GeneKinds.numbers(len(start))).binary
        state = self.start(first_mean(start, binary, self.sigma))
        return _with_binary(state, binary.astype(np.float64))

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Update mean, step and covariance, then keep the margin."""
        strategy, fitness = thaw(state), weighted_sum(scores)
        binary = state.arrays["binary"] > 0
        variance = strategy.sigma**2 * np.diag(strategy.C)
        penalty = boundary_penalty(genomes[:, ~binary], fitness, variance[~binary])
        strategy.update(individuals(genomes, fitness - penalty))
        population = state.scalars["population"]
        strategy.centroid = with_margin(
            strategy.centroid,
            strategy.sigma * np.sqrt(np.diag(strategy.C)),
            binary,
            self.margin or 1 / (len(binary) * population),
        )
        return _with_binary(freeze(strategy, population, self.kind), state.arrays["binary"])


def _with_binary(state: State, binary: Array) -> State:
    return State(state.kind, {**state.arrays, "binary": binary}, state.scalars)
