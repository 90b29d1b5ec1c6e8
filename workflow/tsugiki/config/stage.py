"""One stage of a run: parents, search space, strategy and budget."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from tsugiki.config.dataflow import DataflowSpace
from tsugiki.contracts.data import Name, Section
from tsugiki.contracts.recipe import Grouping
from tsugiki.strategies.cma_es import CmaEs
from tsugiki.strategies.registry import AnyStrategy


class Gene(Section):
    """One parameter of the merge method that is searched, for every parent and group."""

    range: tuple[float, float]
    """Smallest and largest value."""
    start: float | None = None
    """Where the search starts; the middle of the range if absent."""
    grouping: Grouping = "block"
    """How tensors share a value: `model`, `block`, `block_part`, `{gradient: 3}` (three values along
    the depth, with straight lines in between), or a mapping of group name to regular expression over
    tensor names."""

    @model_validator(mode="after")
    def _start_lies_in_range(self) -> Gene:
        low, high = self.range
        if not low < high:
            raise ValueError(f"range [{low}, {high}] is empty; the first value must be smaller")
        if self.start is not None and not low <= self.start <= high:
            raise ValueError(f"start {self.start} lies outside the range [{low}, {high}]")
        return self

    @field_validator("grouping")
    @classmethod
    def _grouping_has_valid_expressions(cls, grouping: Grouping) -> Grouping:
        for name, pattern in grouping.items() if isinstance(grouping, dict) else ():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"`{name}` is no regular expression: {error}") from error
        return grouping


class ParameterSpace(Section):
    """Parameter space (PS): the weights of one merged model."""

    kind: Literal["parameter"] = "parameter"
    """Parameter space."""
    method: str
    """Merge method, one of those in docs/methods.md."""
    genes: Annotated[dict[str, Gene], Field(min_length=1)]
    """The method's parameters that are searched, by name."""
    options: dict[str, float | bool | str] = {}
    """The method's other parameters, fixed."""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Number format of the merged model's weights."""
    mask_seed: int | None = None
    """Seed of DARE's random masks; the run's seed if absent."""
    tokenizer: str | None = None
    """The parent whose tokenizer and chat template the merged model gets; the base if absent."""


def _space_kind(value: Any) -> str:
    """A space without a kind is a parameter space."""
    if isinstance(value, dict):
        return str(value.get("kind", "parameter"))
    return str(getattr(value, "kind", "parameter"))


Space = Annotated[
    Annotated[ParameterSpace, Tag("parameter")] | Annotated[DataflowSpace, Tag("dataflow")],
    Discriminator(_space_kind),
]


class Budget(Section):
    """When a stage ends."""

    generations: Annotated[int, Field(ge=1, le=100_000)]
    """Most generations."""
    stagnation: Annotated[int, Field(ge=1)] | None = None
    """End after so many generations without a better candidate; never if absent."""


class Surrogate(Section):
    """A model of the scores over genes, fitted on the stage's own, which screens candidates before they are merged."""

    oversample: Annotated[int, Field(ge=2)] = 4
    """The second half of each generation is chosen from so many draws, each place from its own; the first half is as
    the strategy asks for it."""
    generations: Annotated[int, Field(ge=1)] = 10
    """Generations before that the model is fitted on."""


class Stage(Section):
    """One stage."""

    name: Name
    """Folder of the stage under results/<run>/."""
    parents: Annotated[list[Name], Field(min_length=1)]
    """Which parents are merged: names of `parents`, or of earlier stages for their best models."""
    base: Name | None = None
    """The model that task vectors are taken against; needed by most methods. A stage in data-flow
    space has no use for it, but the baselines of a run whose first stage it is may have."""
    space: Space
    """What is searched."""
    strategy: Annotated[AnyStrategy, Field(discriminator="kind")] = CmaEs()
    """How it is searched."""
    budget: Budget
    """For how long."""
    surrogate: Surrogate | None = None
    """Screen candidates by a model of the scores; no model if absent."""

    @model_serializer(mode="wrap")
    def _without_absent_parts(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """So that digests and files of stages without a surrogate stay what they were."""
        fields: dict[str, Any] = handler(self)
        if self.surrogate is None:
            fields.pop("surrogate", None)
        return fields

    def modelled(self, generation: int) -> range:
        """The generations before a ranked one that its surrogate is fitted on besides."""
        if self.surrogate is None:
            return range(0)
        return range(max(0, generation + 1 - self.surrogate.generations), generation)

    @property
    def members(self) -> tuple[str, ...]:
        """Names of all models that it merges, the base first."""
        return tuple(dict.fromkeys([*([self.base] if self.base else []), *self.parents]))

    @property
    def owner(self) -> str:
        """The model whose configuration, tokenizer and chat template the merged model gets."""
        if isinstance(self.space, DataflowSpace):
            return self.parents[0]
        return self.space.tokenizer or self.base or self.parents[0]
