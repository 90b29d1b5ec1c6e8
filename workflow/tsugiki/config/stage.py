"""One stage of a run: parents, search space, strategy and budget."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from tsugiki.config.base import Name, Section
from tsugiki.config.dataflow import DataflowSpace
from tsugiki.config.mixed_strategies import BitCma, CmaEsMargin, SeparableCmaEs


class Gradient(Section):
    """Values along the depth of the model: straight lines between anchors."""

    gradient: Annotated[int, Field(ge=2, strict=True)]
    """How many anchors, spread evenly from the first block to the last."""


Grouping = Annotated[
    Literal["model", "block", "block_part"] | Gradient | dict[str, str],
    Field(union_mode="left_to_right"),
]
"""How tensors share a value: the whole model; each block (embeddings and head apart); each of
attention, MLP and norms inside a block; a gradient over the blocks; or named regular expressions over
tensor names."""


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


class CmaEs(Section):
    """CMA-ES, as in the paper (Hansen and Ostermeier 2001)."""

    kind: Literal["cma_es"] = "cma_es"
    """CMA-ES."""
    sigma: Annotated[float, Field(gt=0, le=1)] = 1 / 6
    """First step size, in units of the genes' ranges."""
    population: Annotated[int, Field(ge=2)] | None = None
    """Candidates in a generation; 4 + floor(3 ln n) for n genes if absent."""


class Genetic(Section):
    """Genetic algorithm: tournaments, simulated binary crossover, polynomial mutation."""

    kind: Literal["genetic"]
    """Genetic algorithm."""
    population: Annotated[int, Field(ge=4)] = 24
    """Candidates in a generation."""
    elite: Annotated[int, Field(ge=0)] = 2
    """Best candidates that are kept unchanged."""
    crossover: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Probability that a pair is crossed."""
    eta_crossover: Annotated[float, Field(gt=0)] = 15.0
    """Crowding of simulated binary crossover; larger stays nearer to the parents."""
    eta_mutation: Annotated[float, Field(gt=0)] = 20.0
    """Crowding of polynomial mutation."""
    mutation: Annotated[float, Field(ge=0, le=1)] | None = None
    """Probability that a gene is mutated; 1/n if absent."""


class RandomSearch(Section):
    """Uniform random candidates: the honest baseline of any search."""

    kind: Literal["random"]
    """Random search."""
    population: Annotated[int, Field(ge=1)] = 16
    """Candidates in a generation."""


Strategy = Annotated[
    CmaEs | CmaEsMargin | SeparableCmaEs | BitCma | Genetic | RandomSearch,
    Field(discriminator="kind"),
]


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
    strategy: Strategy = CmaEs()
    """How it is searched."""
    budget: Budget
    """For how long."""

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
