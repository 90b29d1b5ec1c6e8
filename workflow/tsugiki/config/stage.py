"""One stage of a run: parents, search space, strategy and budget."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    Tag,
    field_validator,
    model_validator,
)

from tsugiki.config.dataflow import DataflowSpace
from tsugiki.contracts.data import IfAny, IfSet, Name, Section, by_kind
from tsugiki.contracts.recipe import SHARED, Grouping
from tsugiki.strategies.cma_es import CmaEs
from tsugiki.strategies.registry import AnyStrategy

UNSAID = 0
"""Stands for the number of generations until the other limits decide it."""

ESTIMATED_WITH = 10
"""Generations before one that documents' parameters are fitted on: the latest, which are most like it."""


class Gene(Section):
    """One parameter of the merge method that is searched, for every parent and group."""

    range: tuple[float, float]
    """Smallest and largest value."""
    start: float | dict[str, float | dict[str, float]] | None = None
    """Where the search starts: one value, a value for each parent, or for each parent a value for each group;
    `*` stands for all others. The middle of the range if absent."""
    grouping: Grouping = "block"
    """Which tensors share a value: all (`model`), those of a `block`, those of attention, MLP or norms in a block
    (`block_part`), `{gradient: 3}` (three values along the depth, interpolated linearly), or a mapping of
    group names to regular expressions for tensor names."""

    @model_validator(mode="after")
    def _start_lies_in_range(self) -> Gene:
        low, high = self.range
        if not low < high:
            raise ValueError(f"range [{low}, {high}] is empty; the first value must be smaller")
        for value in self._starts():
            if not low <= value <= high:
                raise ValueError(f"start {value} lies outside the range [{low}, {high}]")
        return self

    def _starts(self) -> list[float]:
        """Every value that `start` names."""
        by_parent = self.start if isinstance(self.start, dict) else {SHARED: self.start}
        found = [
            value
            for one in by_parent.values()
            for value in (one.values() if isinstance(one, dict) else [one])
        ]
        return [value for value in found if value is not None]

    @property
    def start_groups(self) -> set[str]:
        """Groups of tensors that `start` names."""
        by_parent = self.start.values() if isinstance(self.start, dict) else ()
        return {group for one in by_parent if isinstance(one, dict) for group in one}

    def start_of(self, parent: str, group: str) -> float:
        """Where the search starts for a parent (`SHARED` for none) and a group of tensors."""
        low, high = self.range
        found: float | dict[str, float] | None
        found = (
            self.start.get(parent, self.start.get(SHARED))
            if isinstance(self.start, dict)
            else self.start
        )
        if isinstance(found, dict):
            found = found.get(group, found.get(SHARED))
        return (low + high) / 2 if found is None else found

    @field_validator("grouping")
    @classmethod
    def _grouping_has_valid_expressions(cls, grouping: Grouping) -> Grouping:
        for name, pattern in grouping.items() if isinstance(grouping, dict) else ():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"`{name}` is no regular expression: {error}") from error
        return grouping


DECOMPOSING = frozenset({"svd_task_arithmetic"})
"""Methods with `Method.decompose`, named here since plans are made without torch; a test compares."""


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


Space = Annotated[
    Annotated[ParameterSpace, Tag("parameter")] | Annotated[DataflowSpace, Tag("dataflow")],
    by_kind("parameter"),
]


class Origin(Section):
    """A recipe from elsewhere: exactly one of `recipe`, `baseline`, `run`, `stage`."""

    recipe: str | None = None
    """A file: recipe.json of a merged model or of a candidate."""
    baseline: Name | Literal["*"] | None = None
    """The name of a baseline, or `*` for all: of the points that the stage's space can express, the one that is best
    on the search documents."""
    run: str | None = None
    """Folder of another run, `results/<run>`: its best model."""
    candidate: str | None = None
    """With `run`: a candidate of its last stage, such as `003-07`, instead of its best model."""
    stage: Name | None = None
    """An earlier stage of this run: its best model."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Origin:
        if len(self._named) != 1:
            raise ValueError(
                "name exactly one of `recipe`, `baseline`, `run`, `stage`; "
                f"got {', '.join(self._named) or 'none'}"
            )
        if self.candidate is not None and self.run is None:
            raise ValueError("`candidate` goes with `run`")
        return self

    @property
    def _named(self) -> dict[str, str]:
        """What it names, by the key that does so."""
        given = {key: getattr(self, key) for key in ("recipe", "baseline", "run", "stage")}
        return {key: one for key, one in given.items() if one is not None}

    @property
    def is_baseline(self) -> bool:
        """Whether it waits for the baselines of the run."""
        return self.baseline is not None

    def __str__(self) -> str:
        """In words, for messages and records."""
        if self.baseline == SHARED:
            return "the best baseline"
        if self.run is not None:
            return f"run {self.run}" + (f", candidate {self.candidate}" if self.candidate else "")
        ((key, value),) = self._named.items()
        return f"{key} {value}"


AnyOrigin = Literal["baseline"] | Origin
"""`baseline` by itself is short for `{baseline: "*"}`."""
START = "the start"
"""What the origin of a search's start is called, beside the names of those in `inject`."""


class Budget(Section):
    """When a stage ends: at whichever of its limits is reached first, once the generation is finished.

    Each may be raised later, and the stage goes on.
    """

    generations: Annotated[int, Field(ge=1, le=100_000)] = UNSAID
    """Most generations. If absent, it follows from `evaluations` or `answers`, which needs `strategy.population`."""
    stagnation: Annotated[int, Field(ge=1)] | None = None
    """End after so many generations without a better candidate; never if absent."""
    settled: IfSet[Annotated[int, Field(ge=1)] | None] = None
    """End after so many generations that show nothing beyond the noise of the documents: candidates do not differ
    significantly, or the mean has not risen by more than its standard error. Never if absent."""
    evaluations: IfSet[Annotated[int, Field(ge=1)] | None] = None
    """End once so many candidates have been scored; equal recipes count once, failures count."""
    answers: IfSet[Annotated[int, Field(ge=1)] | None] = None
    """End once candidates have answered so many documents."""
    tokens: IfSet[Annotated[int, Field(ge=1)] | None] = None
    """End once so many tokens have been generated."""
    gpu_hours: IfSet[Annotated[float, Field(gt=0)] | None] = None
    """End once the jobs that score the stage have taken so many hours together (on a CPU, hours of a job)."""

    @property
    def limits(self) -> dict[str, Any]:
        """What may end the stage before its last generation."""
        fields = self.model_dump(mode="json")
        fields.pop("generations", None)
        return fields

    def generations_for(self, population: int, answers: int) -> int | None:
        """Generations that `evaluations` and `answers` are enough for; None where neither is there.

        `answers` are the fewest documents that a candidate answers.
        """
        enough = [
            math.ceil(limit / (population * each))
            for limit, each in ((self.evaluations, 1), (self.answers, answers))
            if limit is not None
        ]
        return min(enough, default=None)


class Surrogate(Section):
    """A model of the scores as a function of the genes, which screens candidates before they are merged."""

    oversample: Annotated[int, Field(ge=2)] = 4
    """Draws for each place in the second half of a generation, of which the most promising is merged; the first half
    is not screened."""
    generations: Annotated[int, Field(ge=1)] = 10
    """The latest generations, so many, that the model is fitted on."""


class Stage(Section):
    """One stage."""

    name: Name
    """Folder of the stage in `results/<run>/`."""
    parents: Annotated[list[Name], Field(min_length=1)]
    """What is merged: names from the section `parents`, or of earlier stages, which stand for their best models."""
    base: Name | None = None
    """The model that task vectors are differences from; most methods need it. Data-flow space does not use it, but
    the baselines of the run do if this is its first stage."""
    space: Space
    """What is searched."""
    strategy: Annotated[AnyStrategy, Field(discriminator="kind")] = CmaEs()
    """How it is searched."""
    budget: Budget
    """For how long."""
    start: IfSet[AnyOrigin | None] = None
    """Where the search starts, instead of at the `start` of its genes: at an existing recipe, or at
    `baseline`, the best tuned baseline that the space can express (see docs/stages.md)."""
    inject: IfAny[dict[Name, AnyOrigin]] = {}
    """Existing recipes, by names of your own, that take the places of the last candidates of the first generation."""

    surrogate: IfSet[Surrogate | None] = None
    """Screen candidates by a model of the scores; none if absent."""

    @property
    def origins(self) -> dict[str, Origin]:
        """All recipes that the search begins with, by name; that of its mean is `START`."""
        named = {**({START: self.start} if self.start else {}), **self.inject}
        return {
            name: one if isinstance(one, Origin) else Origin(baseline=SHARED)
            for name, one in named.items()
        }

    @property
    def starts_from(self) -> tuple[str, ...]:
        """The earlier stages whose best recipes it begins with."""
        named = (one.stage for one in self.origins.values())
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @model_validator(mode="after")
    def _budget_fits_the_strategy(self) -> Stage:
        budget, population = self.budget, self.strategy.population
        if budget.generations == UNSAID and (
            population is None or budget.generations_for(population, 1) is None
        ):
            raise ValueError(
                "`budget.generations` is required, but absent; it follows from `budget.evaluations` or "
                "`budget.answers` where `strategy.population` is there too"
            )
        if budget.settled is not None and not self.strategy.weighs:
            raise ValueError(
                "`budget.settled` looks at the weighted sum of the objectives, and "
                f"{self.strategy.kind} does not; use `budget.stagnation`"
            )
        return self

    def modelled(self, generation: int) -> range:
        """The generations before a ranked one that its surrogate is fitted on besides."""
        if self.surrogate is None:
            return range(0)
        return range(max(0, generation + 1 - self.surrogate.generations), generation)

    def estimated_with(self, generation: int) -> range:
        """The generations before one whose answers its estimates are made from, with `evaluation.subsets.irt`."""
        return range(max(0, generation - ESTIMATED_WITH), generation)

    @property
    def decomposes(self) -> bool:
        """Whether its method decomposes task vectors, which is done once for all its candidates."""
        return isinstance(self.space, ParameterSpace) and self.space.method in DECOMPOSING

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
