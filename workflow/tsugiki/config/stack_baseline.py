"""Stacks of layers (frankenmerges), to compare a search in data-flow space with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tsugiki.config.base import Name, Section

Layer = Annotated[int, Field(ge=0)]


class StackBaseline(Section):
    """Layers of the first stage's parents, stacked as they are: written out, or drawn at random."""

    kind: Literal["stack"]
    """A stack of layers."""
    name: Name
    """Row in the final table."""
    slices: list[tuple[Name, Layer, Layer]] = []
    """The stack: parent, first layer, and the one after the last, of each slice. Embeddings and
    tokenizer come from the first slice's parent, final norm and head from the last one's."""
    random: Annotated[int, Field(ge=1)] | None = None
    """Instead of `slices`: how many stacks to draw. The one that is best on the search items counts."""
    pieces: Annotated[int, Field(ge=2)] = 3
    """Slices of a random stack. The first begins with the first layer of the stage's first parent,
    the last ends with its last layer; those in between are of any parents."""
    longest: Annotated[float, Field(ge=1)] = 1.5
    """Most layers of a random stack, in units of the first parent's. It has no fewer than that one."""

    @model_validator(mode="after")
    def _is_written_or_drawn(self) -> StackBaseline:
        if bool(self.slices) == (self.random is not None):
            raise ValueError("a stack has either `slices`, or `random`")
        for parent, first, end in self.slices:
            if not first < end:
                raise ValueError(
                    f"slice [{parent}, {first}, {end}] is empty; the last number is the layer after"
                )
        return self
