"""What every strategy is: settings of a stage, and pure functions to ask for candidates and tell scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import getstate, setstate
from random import seed as seed_random
from typing import ClassVar

import numpy as np

from tsugiki.contracts.data import Section
from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.keyed import key64
from tsugiki.strategies.state import Array, State


@dataclass(frozen=True)
class Asked:
    """A new candidate.

    Attributes:
        genome: float64, shape (genes,); raw: values may lie outside the unit cube.
        parents: Indices of its parents in the preceding generation, where it has any.
    """

    genome: Array
    parents: tuple[int, ...] = field(default=())


class Strategy(Section, ABC):
    """A way to search the unit cube; its fields are settings in the configuration of a stage.

    Methods are pure: equal arguments, equal results. All that a search remembers is in its state.
    """

    weighs: ClassVar[bool] = True
    """Whether it looks for the largest weighted sum of the objectives."""

    forgets: ClassVar[bool] = False
    """Whether it compares scores of one generation alone, so that each one may have documents of its own."""

    kind: str
    """Its name."""

    def faults(self, objectives: int, genes: int | None = None) -> Iterator[str]:
        """What a search cannot be given, in words; `genes` is None before the models are read."""
        del objectives, genes
        yield from ()

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

    def mean(self, state: State) -> Array | None:
        """The centre of the search distribution, shape (genes,), if the strategy has one."""
        del state
        return None

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


def clip(genome: Array) -> Array:
    """The nearest point of the unit cube; shape (genes,)."""
    return np.clip(genome, 0.0, 1.0)
