"""What a search needs to know of its space, whichever space it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

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


class Genome(Protocol):
    """space.json of a stage: what its genomes mean."""

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
