"""What strategies for several objectives share: they look for a front, and weigh nothing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from deap import base
from numpy.typing import NDArray

from tsugiki.contracts.scores import Scores, nondominated
from tsugiki.strategies.genetic import Breeding
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, Strategy, seeded_globals


class Pareto(Strategy):
    """A search for the candidates that no other one beats; its state has scores of survivors, `values`."""

    weighs: ClassVar[bool] = False
    keeps: ClassVar[bool] = True

    def faults(self, objectives: int, genes: int | None = None) -> Iterator[str]:
        """One objective has no front."""
        if objectives < 2:
            yield f"{self.kind} is for several objectives; use `genetic` or `cma_es`, or add an objective"
        yield from super().faults(objectives, genes)

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


class ParetoBreeding(Pareto, Breeding):
    """A genetic algorithm in which the best of parents and children survive."""

    @abstractmethod
    def mates(self, survivors: int) -> list[int]:
        """Two survivors to breed, drawn from the global generators."""

    @abstractmethod
    def survive(
        self, state: State, genomes: Array, values: Array
    ) -> tuple[NDArray[np.int64], dict[str, Array]]:
        """Who lives on, in order, and what else is to be remembered.

        Args:
            state: Before the generation.
            genomes: shape (candidates, genes), of the new and then of the old.
            values: shape (candidates, objectives), larger is better; none failed.
        """

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Children of survivors."""
        genomes = state.arrays.get("genomes")
        if genomes is None or not len(genomes):
            return self.first(state, key)
        asked: list[Asked] = []
        with seeded_globals(key):
            while len(asked) < self.population:
                pair = self.mates(len(genomes))
                asked.extend(Asked(child, tuple(pair)) for child in self.bred(state, genomes[pair]))
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
        kept, memory = self.survive(state, pool, values)
        arrays = {"genomes": pool[kept], "values": values[kept], "told": told[kept]}
        return State(self.kind, {**self.constant(state), **memory, **arrays})


class Individual(list[float]):
    """A genome with its scores, as DEAP selects them; larger is better."""

    def __init__(self, genome: Array, values: Array, at: int) -> None:
        super().__init__(genome.tolist())
        weights = {"weights": (1.0,) * len(values)}
        self.fitness: Any = type("Fitness", (base.Fitness,), weights)(values.tolist())
        self.at = at


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
