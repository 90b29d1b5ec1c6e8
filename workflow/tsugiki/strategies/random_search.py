"""Uniform random search: what any strategy must beat at equal budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from tsugiki.contracts.data import Section
from tsugiki.contracts.genome import GeneKinds
from tsugiki.keyed import generator
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked


class RandomSearch(Section):
    """Uniform random candidates: the honest baseline of any search."""

    kind: Literal["random"]
    """Random search."""
    population: Annotated[int, Field(ge=1)] = 16
    """Candidates in a generation."""


@dataclass(frozen=True)
class RandomStrategy:
    """Independent uniform points of the unit cube."""

    settings: RandomSearch

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """Nothing to remember but the number of genes."""
        del kinds
        return State("random", scalars={"genes": len(start)})

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Uniform points."""
        shape = (self.settings.population, state.scalars["genes"])
        return [Asked(row) for row in generator(*key).random(shape)]

    def tell(self, state: State, genomes: Sequence[Array], fitness: Sequence[float]) -> State:
        """Random search learns nothing."""
        del genomes, fitness
        return state

    def mean(self, state: State) -> Array | None:
        """Random search has no centre."""
        del state
        return None
