"""Genetic algorithm on DEAP's operators.

Simulated binary crossover: Deb and Agrawal, Complex Systems 9, 1995. Polynomial mutation: Deb and
Goyal, Computer Science and Informatics 26, 1996. Tournaments of two, elite kept unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from deap import tools
from pydantic import Field

from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.keyed import generator
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, Strategy, seeded_globals

FIRST_SPREAD = 0.15
"""Standard deviation of the first generation about the start, in units of the genes' ranges."""


class Breeding(Strategy):
    """What genetic algorithms share: a first generation about the start, and two children of two parents."""

    kind: str
    """Its name."""
    population: Annotated[int, Field(ge=4)] = 24
    """Candidates in a generation."""
    crossover: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Probability that a pair is crossed."""
    eta_crossover: Annotated[float, Field(gt=0)] = 15.0
    """Crowding of simulated binary crossover; larger stays nearer to the parents."""
    eta_mutation: Annotated[float, Field(gt=0)] = 20.0
    """Crowding of polynomial mutation."""
    mutation: Annotated[float, Field(ge=0, le=1)] | None = None
    """Probability that a gene is mutated; 1/n if absent."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """No parents yet."""
        del kinds
        return State(self.kind, {"start": np.asarray(start, dtype=np.float64)})

    def first(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """The start itself, and normal draws about it, moved into the unit cube."""
        start = state.arrays["start"]
        noise = generator(*key).normal(size=(self.population, len(start)))
        noise[0] = 0.0
        return [Asked(np.clip(start + FIRST_SPREAD * row, 0.0, 1.0)) for row in noise]

    def children(self, genomes: Array) -> list[Array]:
        """Two children of two parents, drawn from the global generators.

        Args:
            genomes: Of the parents; shape (2, genes), in the unit cube.
        """
        children = genomes.tolist()
        if np.random.random() < self.crossover:  # noqa: NPY002 - seeded by `seeded_globals`
            tools.cxSimulatedBinaryBounded(*children, eta=self.eta_crossover, low=0.0, up=1.0)
        rate = self.mutation if self.mutation is not None else 1 / genomes.shape[1]
        for child in children:
            tools.mutPolynomialBounded(child, eta=self.eta_mutation, low=0.0, up=1.0, indpb=rate)
        return [np.array(child) for child in children]


class Genetic(Breeding):
    """Genetic algorithm: tournaments, simulated binary crossover, polynomial mutation."""

    forgets: ClassVar[bool] = True

    kind: Literal["genetic"]
    """Genetic algorithm."""
    elite: Annotated[int, Field(ge=0)] = 2
    """Best candidates that are kept unchanged."""

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """The elite, then children of tournament winners."""
        if "genomes" not in state.arrays:
            return self.first(state, key)
        genomes, fitness = state.arrays["genomes"], state.arrays["fitness"]
        order = np.argsort(-fitness, kind="stable")
        asked = [
            Asked(genomes[index], (int(index),))
            for index in order[: min(self.elite, self.population)]
        ]
        with seeded_globals(key):
            while len(asked) < self.population:
                pair = [tournament(fitness) for _ in range(2)]
                asked.extend(Asked(child, tuple(pair)) for child in self.children(genomes[pair]))
        return asked[: self.population]

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Remember the generation."""
        arrays = {"genomes": genomes, "fitness": weighted_sum(scores)}
        return State(self.kind, {"start": state.arrays["start"], **arrays})


def tournament(merit: Array) -> int:
    """The better of two candidates that are drawn from the global generator; of equals the first.

    Args:
        merit: shape (candidates,), larger is better.
    """
    drawn = np.random.choice(len(merit), 2)  # noqa: NPY002 - seeded by `seeded_globals`
    return int(max(drawn, key=lambda one: (merit[one], -one)))
