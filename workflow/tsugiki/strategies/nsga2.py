"""NSGA-II: a front of several objectives, none of them weighed.

Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
Transactions on Evolutionary Computation 6(2), 2002. The best of parents and children survive: front by
front, and of the last one that fits in part, those in the emptiest places. Crossover and mutation are
those of `genetic`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tsugiki.contracts.scores import Scores
from tsugiki.strategies.genetic import Breeding, tournament
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, seeded_globals


class Nsga2(Breeding):
    """NSGA-II: the front of several objectives, by non-domination and crowding (Deb et al. 2002)."""

    weighs: ClassVar[bool] = False

    kind: Literal["nsga2"]
    """NSGA-II."""

    def faults(self, objectives: int, genes: int | None = None) -> Iterator[str]:
        """One objective has no front."""
        del genes
        if objectives < 2:
            yield f"{self.kind} is for several objectives; use `genetic`, or add an objective"

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Children of survivors that win tournaments by front, then by crowding."""
        genomes = state.arrays.get("genomes")
        if genomes is None or not len(genomes):
            return self.first(state, key)
        told = state.arrays["told"]
        merit = -np.arange(len(genomes), dtype=np.float64)  # survivors stand in their order
        asked: list[Asked] = []
        with seeded_globals(key):
            while len(asked) < self.population:
                pair = [tournament(merit) for _ in range(2)]
                parents = tuple(int(one) for one in told[pair] if one >= 0)
                asked.extend(Asked(child, parents) for child in self.children(genomes[pair]))
        return asked[: self.population]

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Keep the best of the survivors and of those that were scored; failures never survive."""
        known = np.flatnonzero(~scores.failed)
        pool, values, told = genomes[known], scores.values[known], known.astype(np.float64)
        if "genomes" in state.arrays:
            before = len(state.arrays["genomes"])
            pool = np.concatenate([pool, state.arrays["genomes"]])
            values = np.concatenate([values, state.arrays["values"]])
            told = np.concatenate([told, np.full(before, -1.0)])
        kept = order(values)[: self.population]
        arrays = {"genomes": pool[kept], "values": values[kept], "told": told[kept]}
        return State(self.kind, {"start": state.arrays["start"], **arrays})

    def best(self, scores: Scores, count: int) -> list[int]:
        """Those on the front, the ones in the emptiest places first."""
        known = np.flatnonzero(~scores.failed)
        front = known[nondominated(scores.values[known])]
        emptiest = np.argsort(-crowding(scores.values[front]), kind="stable")
        return [int(one) for one in front[emptiest][:count]]

    def progress(self, state: State, scores: Scores, generation: int) -> dict[str, float | None]:
        """A candidate is better than all before if no survivor is as good on every objective."""
        told = scores.values[~scores.failed]
        before = state.arrays.get("values", told[:0])
        as_good = np.all(before[None] >= told[:, None], axis=2)
        last = state.scalars["best_generation"]
        return {
            "best": None,
            "best_generation": last if np.all(np.any(as_good, axis=1)) else generation,
        }


def nondominated(values: Array) -> NDArray[np.bool_]:
    """Whom no other dominates: none is as good on every objective, and better on one.

    Args:
        values: shape (candidates, objectives), larger is better.

    Returns:
        shape (candidates,).
    """
    found = np.ones(len(values), dtype=np.bool_)
    for index, mine in enumerate(values):
        if found[index]:
            found &= ~((values <= mine).all(axis=1) & (values < mine).any(axis=1))
    return found


def crowding(values: Array) -> Array:
    """How empty the place of each candidate of a front is: infinite for the ends of an objective.

    The sum over objectives of the distance between its two neighbours, in units of the front's range.

    Args:
        values: shape (candidates, objectives).
    """
    distance = np.zeros(len(values))
    for column in values.T:
        along = np.argsort(column, kind="stable")
        distance[along[:1]] = distance[along[-1:]] = np.inf
        if (extent := np.ptp(column) if len(column) else 0.0) > 0:
            distance[along[1:-1]] += (column[along[2:]] - column[along[:-2]]) / extent
    return distance


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
