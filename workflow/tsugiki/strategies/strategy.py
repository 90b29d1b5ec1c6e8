"""What every strategy is: ask for candidates, tell their fitness; all state in the open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import getstate, setstate
from random import seed as seed_random
from typing import Protocol

import numpy as np

from tsugiki.contracts.genome import GeneKinds
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


class Strategy(Protocol):
    """A way to search the unit cube. Methods are pure: equal arguments, equal results."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """The state before the first generation.

        Args:
            start: shape (genes,): coordinates of numbers, probabilities of indicators.
            kinds: Which genes are indicators; all are numbers if absent.
        """
        ...

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """A generation; all randomness comes from `key`."""
        ...

    def tell(self, state: State, genomes: Sequence[Array], fitness: Sequence[float]) -> State:
        """The state after a generation. `fitness`: finite, larger is better, in asked order."""
        ...

    def mean(self, state: State) -> Array | None:
        """The centre of the search distribution, shape (genes,), if the strategy has one."""
        ...


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
