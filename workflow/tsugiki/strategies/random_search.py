"""Uniform random search: what any strategy must beat at equal budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores
from tsugiki.keyed import generator
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, Strategy


class RandomSearch(Strategy):
    """Uniform random candidates: the honest baseline of any search."""

    forgets: ClassVar[bool] = True

    kind: Literal["random"]
    """Random search."""
    population: Annotated[int, Field(ge=1)] = 16
    """Candidates in a generation."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """Nothing to remember but the number of genes."""
        del kinds
        return State(self.kind, scalars={"genes": len(start)})

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Uniform points."""
        shape = (self.population, state.scalars["genes"])
        return [Asked(row) for row in generator(*key).random(shape)]

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Random search learns nothing."""
        del genomes, scores
        return state
