"""Separable CMA-ES, for thousands of genes (Ros and Hansen, PPSN 2008).

DEAP has no diagonal form of its CMA-ES. With 4,288 genes, each state of the full form would hold
three matrices of 147 MB, and each step would decompose one. Here a state holds a few vectors.
Indicators keep the margin of `cma_es_margin`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tsugiki.config.mixed_strategies import SeparableCmaEs
from tsugiki.evolve.diagonal import Diagonal
from tsugiki.evolve.margin import first_mean, with_margin
from tsugiki.evolve.state import Array, State
from tsugiki.evolve.strategies.cma_es import boundary_penalty, default_population
from tsugiki.evolve.strategy import Asked
from tsugiki.keyed import generator
from tsugiki.space.genome import GeneKinds

KIND = "sep_cma"


@dataclass(frozen=True)
class SeparableStrategy:
    """Separable CMA-ES with the settings of a stage."""

    settings: SeparableCmaEs

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """Independent genes of standard deviation `sigma` about the start."""
        binary = (kinds or GeneKinds.numbers(len(start))).binary
        mean = first_mean(start, binary, self.settings.sigma)
        population = self.settings.population or default_population(len(start))
        return _state(Diagonal.start(mean, self.settings.sigma), binary, max(population, 2))

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Draw a generation from the normal distribution of the state."""
        distribution = Diagonal.of(state.arrays, state.scalars)
        drawn = distribution.sample(state.scalars["population"], generator(*key))
        return [Asked(genome) for genome in drawn]

    def tell(self, state: State, genomes: Sequence[Array], fitness: Sequence[float]) -> State:
        """Update mean, step and variances, then keep the margin of indicators."""
        distribution = Diagonal.of(state.arrays, state.scalars)
        binary = state.arrays["binary"] > 0
        told, scores = np.asarray(genomes), np.asarray(fitness, dtype=np.float64)
        variance = distribution.deviation[~binary] ** 2
        scores = scores - boundary_penalty(told[:, ~binary], scores, variance)
        updated = distribution.update(told, scores)
        population = int(state.scalars["population"])
        probability = self.settings.margin or 1 / (len(binary) * population)
        mean = with_margin(updated.mean, updated.deviation, binary, probability)
        return _state(replace(updated, mean=mean), binary, population)

    def mean(self, state: State) -> Array | None:
        """The distribution's mean."""
        return state.arrays["mean"]


def _state(distribution: Diagonal, binary: NDArray[np.bool_], population: int) -> State:
    arrays = {**distribution.arrays(), "binary": binary.astype(np.float64)}
    return State(KIND, arrays, {**distribution.scalars(), "population": population})
