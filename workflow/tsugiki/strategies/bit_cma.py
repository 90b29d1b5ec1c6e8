"""A genetic algorithm on indicators (DEAP's operators), separable CMA-ES on numbers in use.

Children are bred from the best candidates of all generations: uniform crossover, then flips of one
indicator on average. Their numbers are drawn from one normal distribution, which learns a number
only from candidates whose indicators put it to use.
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
from tsugiki.keyed import generator
from tsugiki.strategies.cma_es import boundary_penalty
from tsugiki.strategies.sep_cma import Diagonal
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, Living, Strategy, seeded_globals

Bits = NDArray[np.bool_]


class BitCma(Strategy):
    """A genetic algorithm on the indicators, separable CMA-ES on the numbers that are in use."""

    keeps: ClassVar[bool] = True

    kind: Literal["bit_cma"]
    """Genetic algorithm and CMA-ES together."""
    population: Annotated[int, Field(ge=4)] = 24
    """Candidates in a generation."""
    survivors: Annotated[int, Field(ge=2)] | None = None
    """Number of the best candidates of all generations that children are bred from; half the population if
    absent."""
    crossover: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability that a child has two parents and not one."""
    flips: Annotated[float, Field(gt=0)] = 1.0
    """Indicators that a mutation flips, on average."""
    sigma: Annotated[float, Field(gt=0, le=1)] = 1 / 6
    """First step size of the numbers, in units of their ranges."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """No survivors yet; numbers are normal about the start."""
        kinds = kinds or GeneKinds.numbers(len(start))
        distribution = Diagonal.start(start[~kinds.binary], self.sigma)
        constant = {
            "start": np.asarray(start, dtype=np.float64),
            "binary": kinds.binary.astype(np.float64),
            "switch": kinds.switch.astype(np.float64),
        }
        return _state(constant, np.empty((0, len(start))), np.empty(0), np.empty(0), distribution)

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Children of the survivors; at first the start, and indicators as probable as it says."""
        binary = state.arrays["binary"] > 0
        count = self.population
        with seeded_globals(key):
            bred = [self._breed(state, index, binary) for index in range(count)]
        numbers = Diagonal.of(state).sample(count, generator(*key))
        asked = []
        for index, (bits, parents) in enumerate(bred):
            genome = np.empty(len(binary))
            genome[binary] = bits
            genome[~binary] = numbers[index]
            if index == 0 and not len(state.arrays["survivors"]):
                genome[~binary] = state.arrays["start"][~binary]
            asked.append(Asked(genome, parents))
        return asked

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Let the best live, and the distribution of numbers learn."""
        binary = state.arrays["binary"] > 0
        fitness, distribution = weighted_sum(scores), Diagonal.of(state)
        numbers, in_use = genomes[:, ~binary], used(genomes, state.arrays["switch"])[:, ~binary]
        penalty = boundary_penalty(
            np.where(in_use, numbers, THRESHOLD), fitness, distribution.deviation**2
        )
        updated = distribution.update(numbers, fitness - penalty, in_use)
        pool = np.concatenate([genomes, state.arrays["survivors"]])
        pooled = np.concatenate([fitness, state.arrays["fitness"]])
        rank = np.concatenate([np.arange(len(genomes)), np.full(len(pooled) - len(genomes), -1.0)])
        # of equals the newer lives: otherwise a plateau could not be crossed
        order = np.argsort(-pooled, kind="stable")
        order = order[_distinct(pool[order] > THRESHOLD if binary.all() else pool[order])]
        order = order[: self.survivors or max(2, self.population // 2)]
        constant = {name: state.arrays[name] for name in ("start", "binary", "switch")}
        return _state(constant, pool[order], pooled[order], rank[order], updated)

    def living(self, state: State) -> Living:
        """The survivors."""
        return Living(state.arrays["survivors"], state.arrays["rank"])

    def injected(self, state: State, genomes: Array) -> Array:
        """Injected candidates with their own indicators; their numbers are moved towards the mean if far from it."""
        number = state.arrays["binary"] == 0
        told = genomes.copy()
        told[:, number] = Diagonal.of(state).shortened(genomes[:, number])
        return told

    def deviations(self, state: State) -> Array:
        """Of the genes that are numbers."""
        return Diagonal.of(state).deviation

    def mean(self, state: State) -> Array | None:
        """Indicators of the best survivor, with the mean of the numbers; None before there is one."""
        if not len(state.arrays["survivors"]):
            return None
        centre = np.array(state.arrays["survivors"][0])
        centre[state.arrays["binary"] == 0] = state.arrays["mean"]
        return centre

    def _breed(self, state: State, index: int, binary: Bits) -> tuple[Bits, tuple[int, ...]]:
        survivors = state.arrays["survivors"][:, binary] > THRESHOLD
        if not len(survivors):
            chance = state.arrays["start"][binary]
            bits = (chance > THRESHOLD) if index == 0 else np.random.random(len(chance)) < chance  # noqa: NPY002 - seeded by `seeded_globals`
            return bits, ()
        chosen = [_tournament(len(survivors)) for _ in range(2)]
        child, other = survivors[chosen[0]].tolist(), survivors[chosen[1]].tolist()
        if np.random.random() < self.crossover:  # noqa: NPY002 - as above
            tools.cxUniform(child, other, indpb=0.5)
        else:
            chosen = chosen[:1]
        if child:
            tools.mutFlipBit(child, indpb=min(1.0, self.flips / len(child)))
        if binary.all() and child == survivors[chosen[0]].tolist():
            flipped = np.random.randint(len(child))  # noqa: NPY002 - as above
            child[flipped] = not child[flipped]  # there is nothing else to try
        return np.array(child, dtype=np.bool_), tuple(sorted(set(chosen)))


def used(genomes: Array, switch: Array) -> Bits:
    """Which genes have an effect: those whose indicator is on, and those that have none.

    Args:
        genomes: shape (population, genes).
        switch: shape (genes,): index of each gene's indicator, or -1.

    Returns:
        shape (population, genes).
    """
    free = switch < 0
    return np.asarray(free | (genomes[:, np.where(free, 0, switch).astype(int)] > THRESHOLD))


def _tournament(size: int) -> int:
    """The better of two survivors, which stand in order of fitness."""
    return int(np.random.randint(size, size=2).min())  # noqa: NPY002 - seeded by `seeded_globals`


def _distinct(rows: NDArray[np.generic]) -> list[int]:
    """Indices of rows that differ from all rows before."""
    seen: dict[bytes, int] = {}
    for index, row in enumerate(rows):
        seen.setdefault(row.tobytes(), index)
    return list(seen.values())


def _state(
    constant: dict[str, Array],
    survivors: Array,
    fitness: Array,
    rank: Array,
    distribution: Diagonal,
) -> State:
    """`rank`: index of a survivor in the generation just told, or -1 if it is older."""
    arrays = {"survivors": survivors, "fitness": fitness, "rank": rank}
    return State("bit_cma", {**constant, **arrays, **distribution.arrays()}, distribution.scalars())
