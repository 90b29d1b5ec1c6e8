"""What the evolved merge is compared with: merges without evolution, and stacks of layers (frankenmerges)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    Tag,
    model_validator,
)

from tsugiki.contracts.data import IfSet, Name, Section, by_kind

Layer = Annotated[int, Field(ge=0)]


class FrankenmergeBaseline(Section):
    """A stack of layers ("frankenmerge") of the first stage's parents: given by `slices`, or drawn at random."""

    kind: Literal["stack"]
    """A stack of layers."""
    name: Name
    """Row in the final table."""
    slices: list[tuple[Name, Layer, Layer]] = []
    """The slices, each as [parent, first layer, layer after the last]. Embeddings and
    tokenizer come from the first slice's parent, final norm and head from the last one's."""
    random: Annotated[int, Field(ge=1)] | None = None
    """Instead of `slices`: how many stacks to draw. The one that is best on the search documents is compared."""
    pieces: Annotated[int, Field(ge=2)] = 3
    """Slices of a random stack. The first begins with the first layer of the stage's first parent,
    the last ends with its last layer; those in between are from any parents."""
    longest: Annotated[float, Field(ge=1)] = 1.5
    """Most layers of a random stack, as a multiple of the first parent's number of layers; it has no fewer than that."""

    @model_validator(mode="after")
    def _is_written_or_drawn(self) -> FrankenmergeBaseline:
        if bool(self.slices) == (self.random is not None):
            raise ValueError("a stack has either `slices`, or `random`")
        for parent, first, end in self.slices:
            if not first < end:
                raise ValueError(
                    f"slice [{parent}, {first}, {end}] is empty; the last number is the layer after"
                )
        return self


class Baseline(Section):
    """A merge without evolution. Lists of values span a grid; its best point on the search documents is compared."""

    kind: Literal["merge"] = "merge"
    """A merge of whole models."""
    name: Name
    """Row in the final table."""
    method: str
    """Merge method."""
    parameters: dict[str, float | list[float]] = {}
    """The method's parameters, the same for every parent and tensor."""
    per_parent: list[str] = []
    """Parameters of which each parent gets a value of its own from the grid, instead of one value for all parents."""
    options: dict[str, float | bool | str | list[float]] = {}
    """The method's options."""
    sample: IfSet[Annotated[int, Field(ge=1)] | None] = None
    """Most points of the grid that are tried, drawn at random from it; all if absent."""

    @model_validator(mode="after")
    def _per_parent_names_parameters(self) -> Baseline:
        for name in self.per_parent:
            if name not in self.parameters:
                raise ValueError(f"per_parent names `{name}`, which is not among the parameters")
        return self


AnyBaseline = Annotated[
    Annotated[Baseline, Tag("merge")] | Annotated[FrankenmergeBaseline, Tag("stack")],
    by_kind("merge"),
]

TRIED = 49
"""Points at which each default method is tuned: for two parents the whole grid of task arithmetic."""

DEFAULT_BASELINES: list[AnyBaseline] = [
    Baseline(name="average", method="linear", parameters={"weight": 1.0}),
    Baseline(
        name="task-arithmetic-tuned",
        method="task_arithmetic",
        parameters={"weight": [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4]},
        per_parent=["weight"],
        sample=TRIED,
    ),
    Baseline(
        name="ties-default",
        method="ties",
        parameters={"weight": 1.0, "density": 0.2},
        options={"normalize": True},
    ),
    Baseline(
        name="ties-tuned",
        method="ties",
        parameters={"weight": [0.25, 0.5, 0.75, 1.0], "density": [0.2, 0.5, 0.8, 1.0]},
        per_parent=["weight", "density"],
        options={"normalize": True, "lambda": [0.6, 0.8, 1.0, 1.2, 1.5]},
        sample=TRIED,
    ),
    Baseline(
        name="dare-ties-default", method="dare_ties", parameters={"weight": 0.5, "density": 0.5}
    ),
    Baseline(
        name="dare-ties-tuned",
        method="dare_ties",
        parameters={"weight": [0.4, 0.6, 0.8, 1.0, 1.2], "density": [0.3, 0.5, 0.7, 0.9]},
        per_parent=["weight", "density"],
        sample=TRIED,
    ),
]
