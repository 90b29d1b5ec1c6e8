"""NSGA-III on DEAP's selection: a front of three objectives or more, spread over reference directions.

Deb and Jain, "An Evolutionary Many-Objective Optimization Algorithm Using Reference-Point-Based
Nondominated Sorting Approach, Part I", IEEE Transactions on Evolutionary Computation 18(4), 2014. Of the
last front that survives in part, those live whose directions have the fewest survivors. Directions are
those of Das and Dennis; ideal and extreme points are remembered. Parents are drawn without selection, as
there. DEAP measures intercepts from the ideal point and then subtracts that point once more
(`associate_to_niche`), so scores are given to it with the ideal point as their origin, where that is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from typing import Annotated, Literal

import numpy as np
from deap import tools
from numpy.typing import NDArray
from pydantic import Field

from tsugiki.strategies.pareto import Individual, ParetoBreeding
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import key_of, seeded_globals


class Nsga3(ParetoBreeding):
    """NSGA-III: the front of many objectives, along reference directions (Deb and Jain 2014)."""

    kind: Literal["nsga3"]
    """NSGA-III."""
    crossover: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Probability that a pair is crossed."""
    eta_crossover: Annotated[float, Field(gt=0)] = 30.0
    """Crowding of simulated binary crossover; larger stays nearer to the parents."""
    divisions: Annotated[int, Field(ge=1)] | None = None
    """Steps from one objective to another along which directions are spread; as many as give no more
    directions than candidates if absent."""

    def faults(self, objectives: int, genes: int | None = None) -> Iterator[str]:
        """One objective has no front, and each objective needs a direction of its own."""
        yield from super().faults(objectives, genes)
        needed = comb(objectives - 1 + (self.divisions or 1), objectives - 1)
        if needed > self.population:
            yield (
                f"{objectives} objectives have {needed} reference directions, and a generation has "
                f"{self.population} candidates; use a larger `population`, or fewer `divisions`"
            )

    def mates(self, survivors: int) -> list[int]:
        """Any two."""
        return [int(one) for one in np.random.randint(survivors, size=2)]  # noqa: NPY002 - seeded by `seeded_globals`

    def survive(
        self, state: State, genomes: Array, values: Array
    ) -> tuple[NDArray[np.int64], dict[str, Array]]:
        """Front by front, and of the last one that fits in part, those in the emptiest niches."""
        known = {name: state.arrays[name] for name in _MEMORY if name in state.arrays}
        if not len(values):
            return np.empty(0, dtype=np.int64), known
        costs = -values
        ideal = np.min([costs.min(axis=0), known.get("ideal", costs[0])], axis=0)
        worst = np.max([costs.max(axis=0), known.get("worst", costs[0])], axis=0)
        memory = {**known, "ideal": ideal, "worst": worst}
        if len(values) <= self.population:
            return np.arange(len(values)), memory
        pool = [
            Individual(genome, ideal - cost, at)
            for at, (genome, cost) in enumerate(zip(genomes, costs, strict=True))
        ]
        with seeded_globals(key_of(genomes)):
            chosen, found = tools.selNSGA3(
                pool,
                self.population,
                tools.uniform_reference_points(len(ideal), self._divisions(len(ideal))),
                best_point=np.zeros((1, len(ideal))),
                worst_point=(worst - ideal)[np.newaxis],
                extreme_points=known["extremes"] - ideal if "extremes" in known else None,
                return_memory=True,
            )
        memory["extremes"] = found.extreme_points + ideal
        return np.array([one.at for one in chosen]), memory

    def _divisions(self, objectives: int) -> int:
        divisions = self.divisions or 1
        if self.divisions is None:
            while comb(objectives + divisions, objectives - 1) <= self.population:
                divisions += 1
        return divisions


_MEMORY = ("ideal", "worst", "extremes")
"""Of objectives that are minimised: smallest and largest values so far, and the front's ends."""
