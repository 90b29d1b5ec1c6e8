"""What every strategy is: settings of a stage, and pure functions to ask for candidates and tell scores."""

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
    """A new candidate.

    Attributes:
        genome: float64, shape (genes,); raw: values may lie outside the unit cube.
        parents: Indices of its parents among the `Living` of the state, where it has any.
    """

    genome: Array
    parents: tuple[int, ...] = field(default=())


@dataclass(frozen=True)
class Living:
    """Candidates in a state that those to come may descend from.

    Attributes:
        genomes: shape (living, genes).
        told: shape (living,): index of each in the generation that was told last; -1 if it is older.
    """

    genomes: Array
    told: Array


@dataclass(frozen=True)
class Distribution:
    """Where a search looks.

    Attributes:
        mean: Its centre, shape (genes,); None where the strategy has none.
        deviations: Standard deviations along its principal axes, shape (axes,), in units of the genes'
            ranges; empty where the strategy has no such distribution.
    """

    mean: Array | None
    deviations: Array


class Strategy(Section, ABC):
    """A way to search the unit cube; its fields are settings in the configuration of a stage.

    Methods are pure: equal arguments, equal results. All that a search remembers is in its state.
    """

    weighs: ClassVar[bool] = True
    """Whether it looks for the largest weighted sum of the objectives."""

    by_document: ClassVar[bool] = False
    """Whether it is told what candidates made of every document (`Scores.by_document`)."""

    forgets: ClassVar[bool] = False
    """Whether it compares scores of one generation alone, so that each one may have documents of its own."""

    keeps: ClassVar[bool] = False
    """Whether candidates of older generations than the last live in its state, and are parents."""

    most_genes: ClassVar[int | None] = None
    """How many genes it takes; any number if None."""
    learns: ClassVar[str] = ""
    """What makes it take no more, in words."""
    instead: ClassVar[str] = ""
    """What takes more, in words."""

    kind: str
    """Its name."""

    def faults(self, objectives: int, genes: int | None = None) -> Iterator[str]:
        """What a search cannot be given, in words; `genes` is None before the models are read."""
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
            start: shape (genes,): coordinates of numbers, probabilities of indicators.
            kinds: Which genes are indicators; all are numbers if absent.
        """

    @abstractmethod
    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """A generation; all randomness comes from `key`."""

    @abstractmethod
    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """The state after a generation.

        Args:
            state: That the generation was drawn from.
            genomes: shape (population, genes), raw, in the order in which they were asked for.
            scores: Of the same candidates.
        """

    def living(self, state: State) -> Living:
        """Which candidates those to come may descend from: the last generation, or who lives in the state."""
        genomes = state.arrays.get("genomes", np.empty((0, 0)))
        return Living(genomes, state.arrays.get("told", np.arange(len(genomes), dtype=np.float64)))

    def injected(self, state: State, genomes: Array) -> Array:
        """What `tell` is given of candidates from elsewhere: their genomes as they are.

        A strategy that learns from steps can shorten theirs, which may be far longer than its own.

        Args:
            state: That the rest of the generation was drawn from.
            genomes: shape (candidates, genes), in the unit cube.
        """
        del state
        return genomes

    def mean(self, state: State) -> Array | None:
        """The centre of the search distribution, shape (genes,), if the strategy has one."""
        del state
        return None

    def deviations(self, state: State) -> Array:
        """Standard deviations of the search distribution along its principal axes, if there is one."""
        del state
        return np.empty(0)

    def distribution(self, recorded: bytes) -> Distribution:
        """Where the search looked that drew a generation from a state; `recorded` is its state.npz.

        Raises:
            ValueError: it is something else, or cut.
        """
        state = State.from_bytes(recorded)
        return Distribution(self.mean(state), self.deviations(state))

    def best(self, scores: Scores, count: int) -> list[int]:
        """Which candidates deserve a second look: at most `count`, best first, none that failed.

        Of equals the first one leads.
        """
        order = np.argsort(-weighted_sum(scores), kind="stable")
        return [int(one) for one in order if not scores.failed[one]][:count]

    def progress(self, state: State, scores: Scores, generation: int) -> dict[str, float | None]:
        """Scalars to remember: `best_generation`, the last one with a better candidate than all before.

        Args:
            state: Before the generation was told.
            scores: Of the generation.
            generation: Its number.
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
    """Steps from elsewhere, none longer than those of a normal distribution's own draws are.

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
    """The mean whose indicators are on with the probabilities of `start`.

    Args:
        start: shape (genes,): coordinates of numbers, probabilities of indicators.
        binary: shape (genes,).
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
    """A first generation: the start itself, and normal draws about it, moved into the unit cube.

    Args:
        start: shape (genes,).
        count: Size of the generation.
        key: Of the draws.

    Returns:
        shape (count, genes).
    """
    noise = generator(*key).normal(size=(count, len(start)))
    noise[0] = 0.0
    return np.clip(start + FIRST_SPREAD * noise, 0.0, 1.0)


def key_of(genomes: Array) -> tuple[str, ...]:
    """A key of randomness for `tell`, which is given none: the generation that it is told of."""
    return ("told", digest_bytes(np.ascontiguousarray(genomes).tobytes()))
