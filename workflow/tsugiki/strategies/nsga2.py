"""NSGA-II: a front of several objectives, none of them weighed.

Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
Transactions on Evolutionary Computation 6(2), 2002. The best of parents and children survive: front by
front, and of the last one that fits in part, those in the emptiest places. Crossover and mutation are
those of `genetic`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tsugiki.contracts.scores import nondominated
from tsugiki.strategies.genetic import tournament
from tsugiki.strategies.pareto import ParetoBreeding, crowding
from tsugiki.strategies.state import Array, State


class Nsga2(ParetoBreeding):
    """NSGA-II: the front of several objectives, by non-domination and crowding (Deb et al. 2002)."""

    kind: Literal["nsga2"]
    """NSGA-II."""

    def mates(self, survivors: int) -> list[int]:
        """Winners of tournaments by front, then by crowding: survivors stand in that order."""
        merit = -np.arange(survivors, dtype=np.float64)
        return [tournament(merit) for _ in range(2)]

    def survive(
        self, state: State, genomes: Array, values: Array
    ) -> tuple[NDArray[np.int64], dict[str, Array]]:
        """Front by front, and of the last one that fits in part, those in the emptiest places."""
        del state, genomes
        return order(values)[: self.population], {}


def order(values: Array) -> NDArray[np.int64]:
    """Candidates by front, those of a front by crowding; of equals the first leads.

    The first front are those whom no other dominates, the next those of the rest, and so on.

    Args:
        values: shape (candidates, objectives), larger is better.

    Returns:
        Their indices, shape (candidates,).
    """
    sorted_, left = [np.empty(0, dtype=np.int64)], np.arange(len(values))
    while len(left):
        first = nondominated(values[left])
        front, left = left[first], left[~first]
        sorted_.append(front[np.argsort(-crowding(values[front]), kind="stable")])
    return np.concatenate(sorted_)
