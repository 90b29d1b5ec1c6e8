"""Genetic algorithm on DEAP's operators.

Simulated binary crossover: Deb and Agrawal, Complex Systems 9, 1995. Polynomial mutation: Deb and
Goyal, Computer Science and Informatics 26, 1996. Tournaments of two, elite kept unchanged. Indicators
are crossed uniformly and mutated by flips (Eiben and Smith, "Introduction to Evolutionary Computing",
sections 4.2.1 and 4.2.2): a small step would hardly ever take one across its threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from deap import tools
from numpy.typing import NDArray
from pydantic import Field

from tsugiki.contracts.genome import THRESHOLD, GeneKinds
from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import (
    FIRST_SPREAD,
    Asked,
    Strategy,
    about,
    first_mean,
    seeded_globals,
)


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
        arrays = {"start": np.asarray(start, dtype=np.float64)}
        if kinds is not None and kinds.binary.any():
            arrays["start"] = first_mean(start, kinds.binary, FIRST_SPREAD)
            arrays["binary"] = kinds.binary.astype(np.float64)
        return State(self.kind, arrays)

    def first(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """The start itself, and draws about it: indicators on or off, numbers in the unit cube."""
        drawn = about(state.arrays["start"], self.population, key)
        binary = _binary(state)
        drawn[:, binary] = drawn[:, binary] > THRESHOLD
        return [Asked(genome) for genome in drawn]

    def bred(self, state: State, genomes: Array) -> list[Array]:
        """Two children of two parents, drawn from the global generators.

        Args:
            state: Says which genes are indicators.
            genomes: Of the parents; shape (2, genes), in the unit cube.
        """
        binary = _binary(state)
        numbers, bits = genomes[:, ~binary].tolist(), (genomes[:, binary] > THRESHOLD).tolist()
        if np.random.random() < self.crossover:  # noqa: NPY002 - seeded by `seeded_globals`
            tools.cxSimulatedBinaryBounded(*numbers, eta=self.eta_crossover, low=0.0, up=1.0)
            tools.cxUniform(*bits, indpb=0.5)
        rate = self.mutation if self.mutation is not None else 1 / genomes.shape[1]
        children = np.empty(genomes.shape)
        for child, own, on in zip(children, numbers, bits, strict=True):
            tools.mutPolynomialBounded(own, eta=self.eta_mutation, low=0.0, up=1.0, indpb=rate)
            tools.mutFlipBit(on, indpb=rate)
            child[~binary], child[binary] = own, on
        return list(children)

    def constant(self, state: State) -> dict[str, Array]:
        """What a state says of the space, and every later one has to say."""
        return {name: state.arrays[name] for name in ("start", "binary") if name in state.arrays}


class Genetic(Breeding):
    """Genetic algorithm: tournaments, simulated binary crossover, polynomial mutation; indicators flip."""

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
                asked.extend(Asked(child, tuple(pair)) for child in self.bred(state, genomes[pair]))
        return asked[: self.population]

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Remember the generation."""
        arrays = {"genomes": genomes, "fitness": weighted_sum(scores)}
        return State(self.kind, {**self.constant(state), **arrays})


def _binary(state: State) -> NDArray[np.bool_]:
    """Which genes are indicators; shape (genes,). States without any do not say so."""
    return state.arrays.get("binary", np.zeros(len(state.arrays["start"]))) > 0


def tournament(merit: Array) -> int:
    """The better of two candidates that are drawn from the global generator; of equals the first.

    Args:
        merit: shape (candidates,), larger is better.
    """
    drawn = np.random.choice(len(merit), 2)  # noqa: NPY002 - seeded by `seeded_globals`
    return int(max(drawn, key=lambda one: (merit[one], -one)))
