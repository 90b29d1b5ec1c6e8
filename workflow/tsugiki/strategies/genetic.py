"""Genetic algorithm on DEAP's operators.

Simulated binary crossover: Deb and Agrawal, Complex Systems 9, 1995. Polynomial mutation: Deb and
Goyal, Computer Science and Informatics 26, 1996. Tournaments of two, elite kept unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

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


class Genetic(Strategy):
    """Genetic algorithm: tournaments, simulated binary crossover, polynomial mutation."""

    kind: Literal["genetic"]
    """Genetic algorithm."""
    population: Annotated[int, Field(ge=4)] = 24
    """Candidates in a generation."""
    elite: Annotated[int, Field(ge=0)] = 2
    """Best candidates that are kept unchanged."""
    crossover: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Probability that a pair is crossed."""
    eta_crossover: Annotated[float, Field(gt=0)] = 15.0
    """Crowding of simulated binary crossover; larger stays nearer to the parents."""
    eta_mutation: Annotated[float, Field(gt=0)] = 20.0
    """Crowding of polynomial mutation."""
    mutation: Annotated[float, Field(ge=0, le=1)] | None = None
    """Probability that a gene is mutated; 1/n if absent."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """No parents yet: the first generation is drawn about the start."""
        del kinds
        return State(self.kind, {"start": np.asarray(start, dtype=np.float64)})

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """The elite, then children of tournament winners."""
        if "genomes" not in state.arrays:
            return first_generation(state.arrays["start"], self.population, key)
        genomes, fitness = state.arrays["genomes"], state.arrays["fitness"]
        order = np.argsort(-fitness, kind="stable")
        asked = [
            Asked(genomes[index], (int(index),))
            for index in order[: min(self.elite, self.population)]
        ]
        with seeded_globals(key):
            while len(asked) < self.population:
                parents = tuple(_tournament(fitness) for _ in range(2))
                asked.extend(Asked(child, parents) for child in self.children(genomes, parents))
        return asked[: self.population]

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Remember the generation."""
        arrays = {"genomes": genomes, "fitness": weighted_sum(scores)}
        return State(self.kind, {"start": state.arrays["start"], **arrays})

    def children(self, genomes: Array, parents: Sequence[int]) -> list[Array]:
        """Two children of two parents, drawn from the global generators.

        Args:
            genomes: shape (population, genes), in the unit cube.
            parents: Indices of the two.
        """
        children = [genomes[index].tolist() for index in parents]
        if np.random.random() < self.crossover:  # noqa: NPY002 - seeded by `seeded_globals`
            tools.cxSimulatedBinaryBounded(*children, eta=self.eta_crossover, low=0.0, up=1.0)
        rate = self.mutation if self.mutation is not None else 1 / genomes.shape[1]
        for child in children:
            tools.mutPolynomialBounded(child, eta=self.eta_mutation, low=0.0, up=1.0, indpb=rate)
        return [np.array(child) for child in children]


def first_generation(start: Array, population: int, key: Sequence[str | int]) -> list[Asked]:
    """The start itself, and normal draws about it, moved into the unit cube."""
    noise = generator(*key).normal(size=(population, len(start)))
    noise[0] = 0.0
    return [Asked(np.clip(start + FIRST_SPREAD * row, 0.0, 1.0)) for row in noise]


def _tournament(fitness: Array) -> int:
    drawn = np.random.choice(len(fitness), 2)  # noqa: NPY002 - seeded by `seeded_globals`
    return int(max(drawn, key=lambda one: (fitness[one], -one)))
