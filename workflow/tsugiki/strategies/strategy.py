"""The interface of all strategies: settings of a stage, and pure functions to ask for candidates and to tell scores."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import getstate, setstate
from random import seed as seed_random
from statistics import NormalDist
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tsugiki.canonical import digest_bytes
from tsugiki.contracts.data import Section
from tsugiki.contracts.genome import THRESHOLD, GeneKinds
from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.keyed import generator, key64
from tsugiki.strategies.state import Array, State

FIRST_SPREAD = 0.15
"""Standard deviation of a first generation about the start, in units of the genes' ranges."""

_SURE = 1e-9


@dataclass(frozen=True)
class Asked:
    """A candidate that a strategy proposes.

    Attributes:
        genome: float64, shape (genes,); values may lie outside the unit cube, and are clipped for scoring.
        parents: Indices of its parents in the `Living` of the state; empty if it was drawn from a distribution.
    """

    genome: Array
    parents: tuple[int, ...] = field(default=())


@dataclass(frozen=True)
class Living:
    """The candidates in a state that can be parents of the next generation.

    Attributes:
        genomes: shape (living, genes).
        told: shape (living,): index of each in the last generation that was told; -1 if it is from an older one.
    """

    genomes: Array
    told: Array


class Strategy(Section, ABC):
    """An optimiser of points in the unit cube, with ask and tell; its fields are its settings in a stage's configuration.

    Methods are pure: equal arguments, equal results. Everything that a search remembers is in its state.
    """

    weighs: ClassVar[bool] = True
    """Whether it maximises the weighted sum of the objectives; others look at each objective."""

    by_document: ClassVar[bool] = False
    """Whether it needs the score of every document (`Scores.by_document`)."""

    forgets: ClassVar[bool] = False
    """Whether it compares scores within a generation only, so that each generation may have documents of its own."""

    keeps: ClassVar[bool] = False
    """Whether candidates of generations before the last stay in its state and can be parents."""

    most_genes: ClassVar[int | None] = None
    """Largest number of genes that it accepts; None for no limit."""
    learns: ClassVar[str] = ""
    """For the error message: what it learns that limits the number of genes."""
    instead: ClassVar[str] = ""
    """For the error message: what accepts more genes."""

    kind: str
    """Its name."""

    def faults(self, objectives: int, genes: int | None = None) -> Iterator[str]:
        """What the strategy cannot be used for, as messages without a full stop.

        Args:
            objectives: How many there are.
            genes: How many there are; None before the models are read.
        """
        del objectives
        if genes is not None and self.most_genes is not None and genes > self.most_genes:
            yield (
                f"{genes:,} genes are too many genes for {self.kind}, which learns {self.learns}: it takes "
                f"{self.most_genes:,}; use {self.instead}, or fewer genes"
            )

    @abstractmethod
    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """The state before the first generation.

        Args:
            start: shape (genes,): for numbers where the search starts, for indicators their probability of being on.
            kinds: Which genes are indicators; all are numbers if absent.
        """

    @abstractmethod
    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Draw a generation.

        Args:
            state: What the search knows.
            key: Seeds all randomness: equal keys and states give equal generations.
        """

    @abstractmethod
    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """The state after a generation has been scored.

        Args:
            state: The one that the generation was drawn from.
            genomes: shape (population, genes), not clipped, in the order of `ask`.
            scores: Of these candidates, in the same order; larger is better.
        """

    def living(self, state: State) -> Living:
        """The candidates that can be parents of the next generation: the last generation, or those kept in the state."""
        genomes = state.arrays.get("genomes", np.empty((0, 0)))
        return Living(genomes, state.arrays.get("told", np.arange(len(genomes), dtype=np.float64)))

    def injected(self, state: State, genomes: Array) -> Array:
        """The genomes with which `tell` learns from injected candidates, which the strategy did not draw: unchanged here.

        A strategy that learns from steps can shorten those to injected candidates, which may be far longer than its own.

        Args:
            state: The one that the rest of the generation was drawn from.
            genomes: shape (candidates, genes), in the unit cube.
        """
        del state
        return genomes

    def mean(self, state: State) -> Array | None:
        """The centre of the search distribution, shape (genes,), if the strategy has one."""
        del state
        return None

    def deviations(self, state: State) -> Array:
        """Standard deviations of the search distribution along its principal axes, in units of the genes' ranges.

        Shape (axes,); empty if the strategy has no such distribution.
        """
        del state
        return np.empty(0)

    def best(self, scores: Scores, count: int) -> list[int]:
        """Indices of the best candidates, which become finalists: at most `count`, best first, none that failed.

        Ties are broken by the order of the candidates.
        """
        order = np.argsort(-weighted_sum(scores), kind="stable")
        return [int(one) for one in order if not scores.failed[one]][:count]

    def progress(self, state: State, scores: Scores, generation: int) -> dict[str, float | None]:
        """Scalars for the next state, by which stagnation is measured.

        Args:
            state: Before the generation was told.
            scores: Of the generation.
            generation: Its number.

        Returns:
            `best`, the largest weighted sum so far, and `best_generation`, the generation that first reached it.
        """
        known = state.scalars["best"]
        if not scores.failed.all():
            best = float(weighted_sum(scores).max())
            if known is None or best > known:
                return {"best": best, "best_generation": generation}
        return {"best": known, "best_generation": state.scalars["best_generation"]}


@contextmanager
def seeded_globals(key: Sequence[str | int]) -> Iterator[None]:
    """DEAP draws from the global generators: seed them inside the block, restore them after."""
    number = key64(*key)
    numpy_state, random_state = np.random.get_state(), getstate()  # noqa: NPY002 - DEAP's
    np.random.seed([number & 0xFFFFFFFF, number >> 32])  # noqa: NPY002 - DEAP's
    seed_random(number)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002 - DEAP's
        setstate(random_state)


def shorten(steps: Array) -> Array:
    """Shorten steps to injected candidates to about the length of a normal distribution's own draws.

    Hansen, "Injecting external solutions into CMA-ES", arXiv 1110.4181, section 2, equation 4: a step's
    length is cut to c_y = sqrt(n) + 2n/(n + 2), its direction kept. Uncut, one step would set mean,
    covariance and step size by itself.

    Args:
        steps: shape (candidates, n), in units of the distribution (standard normal, if drawn).
    """
    n = steps.shape[1]
    longest = np.sqrt(n) + 2 * n / (n + 2)
    length = np.linalg.norm(steps, axis=1, keepdims=True)
    return np.asarray(steps * np.minimum(1.0, longest / np.maximum(length, longest)))


def clip(genome: Array) -> Array:
    """The nearest point of the unit cube; shape (genes,)."""
    return np.clip(genome, 0.0, 1.0)


def first_mean(start: Array, binary: NDArray[np.bool_], sigma: float) -> Array:
    """The mean of a normal distribution whose indicators are on with the probabilities in `start`.

    An indicator is on where its gene exceeds the threshold.

    Args:
        start: shape (genes,): coordinates of numbers, probabilities of indicators.
        binary: shape (genes,): which genes are indicators.
        sigma: Standard deviation of every gene.
    """
    mean = np.array(start, dtype=np.float64)
    for index in np.flatnonzero(binary):
        probability = min(max(float(start[index]), _SURE), 1 - _SURE)
        mean[index] = THRESHOLD + sigma * NormalDist().inv_cdf(probability)
    return mean


def default_population(genes: int) -> int:
    """Hansen's default: 4 + floor(3 ln n)."""
    return 4 + math.floor(3 * math.log(genes))


def about(start: Array, count: int, key: Sequence[str | int]) -> Array:
    """A first generation: the start itself, and normal draws about it, clipped to the unit cube.

    Args:
        start: shape (genes,).
        count: Size of the generation.
        key: Seeds the draws.

    Returns:
        shape (count, genes).
    """
    noise = generator(*key).normal(size=(count, len(start)))
    noise[0] = 0.0
    return np.clip(start + FIRST_SPREAD * noise, 0.0, 1.0)


def key_of(genomes: Array) -> tuple[str, ...]:
    """A key of randomness for `tell`, which is given none: the digest of the generation that it is told of."""
    return ("told", digest_bytes(np.ascontiguousarray(genomes).tobytes()))
