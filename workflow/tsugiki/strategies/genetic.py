"""Genetic algorithm on DEAP's operators.

Simulated binary crossover: Deb and Agrawal, Complex Systems 9, 1995. Polynomial mutation: Deb and
Goyal, Computer Science and Informatics 26, 1996. Tournaments of two, elite kept unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from deap import tools
from pydantic import Field

from tsugiki.contracts.data import Section
from tsugiki.contracts.genome import GeneKinds
from tsugiki.keyed import generator
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, seeded_globals

FIRST_SPREAD = 0.15
"""Standard deviation of the first generation about the start, in units of the genes' ranges."""


class Genetic(Section):
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


@dataclass(frozen=True)
class GeneticStrategy:
    """A genetic algorithm with the settings of a stage."""

    settings: Genetic

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """No parents yet: the first generation is drawn about the start."""
        del kinds
        return State("genetic", {"start": np.asarray(start, dtype=np.float64)})

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """The elite, then children of tournament winners."""
        settings = self.settings
        start = state.arrays["start"]
        if "genomes" not in state.arrays:
            noise = generator(*key).normal(size=(settings.population, len(start)))
            noise[0] = 0.0
            return [Asked(np.clip(start + FIRST_SPREAD * row, 0.0, 1.0)) for row in noise]
        genomes, fitness = state.arrays["genomes"], state.arrays["fitness"]
        order = np.argsort(-fitness, kind="stable")
        asked = [
            Asked(genomes[index], (int(index),))
            for index in order[: min(settings.elite, settings.population)]
        ]
        with seeded_globals(key):
            while len(asked) < settings.population:
                asked.extend(self._pair(genomes, fitness))
        return asked[: settings.population]

    def tell(self, state: State, genomes: Sequence[Array], fitness: Sequence[float]) -> State:
        """Remember the generation."""
        return State(
            "genetic",
            {
                "start": state.arrays["start"],
                "genomes": np.asarray(genomes, dtype=np.float64),
                "fitness": np.asarray(fitness, dtype=np.float64),
            },
        )

    def mean(self, state: State) -> Array | None:
        """A genetic algorithm has no centre."""
        del state
        return None

    def _pair(self, genomes: Array, fitness: Array) -> list[Asked]:
        settings = self.settings
        parents = tuple(
            int(max(np.random.choice(len(genomes), 2), key=lambda one: (fitness[one], -one)))  # noqa: NPY002 - seeded by `seeded_globals`
            for _ in range(2)
        )
        children = [genomes[index].tolist() for index in parents]
        if np.random.random() < settings.crossover:  # noqa: NPY002 - as above
            tools.cxSimulatedBinaryBounded(*children, eta=settings.eta_crossover, low=0.0, up=1.0)
        rate = settings.mutation if settings.mutation is not None else 1 / genomes.shape[1]
        for child in children:
            tools.mutPolynomialBounded(
                child, eta=settings.eta_mutation, low=0.0, up=1.0, indpb=rate
            )
        return [Asked(np.array(child), parents) for child in children]
