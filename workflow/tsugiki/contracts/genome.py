"""What a search needs to know of its space, whichever space it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tsugiki.contracts.data import Data, IfAny, IfSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsugiki.contracts.recipe import AnyRecipe

THRESHOLD = 0.5
"""An indicator is on where its coordinate is larger."""


@dataclass(frozen=True)
class GeneKinds:
    """Which genes are indicators, and which numbers they switch.

    Attributes:
        binary: bool, shape (genes,): the gene is an indicator, not a number.
        switch: int64, shape (genes,): index of the indicator without which a number has no
            effect; -1 where there is none.
        depth: float64, shape (genes,): where along the model a gene acts, from 0 (its input) to 1
            (its output); None if the space does not say.
    """

    binary: NDArray[np.bool_]
    switch: NDArray[np.int64]
    depth: NDArray[np.float64] | None = None

    @classmethod
    def numbers(cls, count: int) -> GeneKinds:
        """Genes that are all numbers, and always in use."""
        return cls(np.zeros(count, dtype=np.bool_), np.full(count, -1, dtype=np.int64))


class Known(Data):
    """A recipe from elsewhere, as a point of the space."""

    name: str
    """As the configuration has it."""
    source: str
    """Where the recipe is from, in words."""
    recipe: str
    """Its digest there."""
    point: tuple[float, ...]
    """For every gene: the coordinate of a number in [0, 1], the probability of an indicator."""


class Begun(Data):
    """What a space knows of recipes that the search begins with; nothing is written where there are none."""

    begin: IfSet[Known | None] = None
    """Where the search starts, instead of where the genes say."""
    injected: IfAny[tuple[Known, ...]] = ()
    """Candidates of the first generation, in place of its last drawn ones."""

    @property
    def known(self) -> tuple[Known, ...]:
        """All of them."""
        return (*([self.begin] if self.begin else []), *self.injected)


class Genome(Protocol):
    """space.json of a stage: what its genomes mean."""

    @property
    def injected(self) -> tuple[Known, ...]:
        """Candidates from elsewhere in the first generation."""
        ...

    @property
    def start(self) -> tuple[float, ...]:
        """Where the search starts: coordinates of numbers, probabilities of indicators."""
        ...

    @property
    def kinds(self) -> GeneKinds:
        """Indicators and numbers."""
        ...

    def decode(self, coordinates: Sequence[float]) -> AnyRecipe:
        """The recipe at a point of the unit cube."""
        ...

    def to_json(self) -> bytes:
        """The content of space.json."""
        ...
