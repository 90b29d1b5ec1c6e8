"""Which documents score a candidate: how many, on which rungs, and whether each generation has its own."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WrapSerializer,
    model_validator,
)

from tsugiki.contracts.data import IfSet, Section
from tsugiki.strategies.rungs.registry import AnyRule
from tsugiki.strategies.rungs.rule import NoneLeft, Rule


class Items(Section):
    """How a task's documents are divided; the three sets are disjoint."""

    search: Annotated[int, Field(ge=1)] = 200
    """Documents that score every candidate."""
    validation: Annotated[int, Field(ge=1)] = 200
    """Documents that choose the winner among the finalists, with what these scored in the search."""
    test: Annotated[int, Field(ge=1)] = 1000
    """Documents that are used once, for the final table."""
    search_split: IfSet[Literal["training"] | None] = None
    """`training`: search documents are of each task's `training_split`, and all documents that it is tested
    on are left for validation and test; if absent, search documents are of those that it is tested on."""


def _by_name(rule: Any) -> Any:
    """A rule whose settings are the defaults may be written as its name."""
    return {"kind": rule} if isinstance(rule, str) else rule


def _name_alone(rule: Rule, handler: SerializerFunctionWrapHandler) -> Any:
    """So that digests and files of runs with a rule that has no settings stay what they were."""
    return handler(rule) if len(type(rule).model_fields) > 1 else rule.kind


class Rungs(Section):
    """Scoring the candidates of a generation on a few search documents first, and on more then."""

    documents: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    """Documents of each task by rung, ascending, `items.search` at most: those of a rung are among those
    of the next one. The last number is how many score a candidate that goes all the way."""
    rule: Annotated[
        AnyRule,
        Field(discriminator="kind"),
        BeforeValidator(_by_name, json_schema_input_type=AnyRule | str),
        WrapSerializer(_name_alone),
    ] = NoneLeft()
    """What decides after each rung but the last which candidates go on: `none`, `halving` or `racing`, by
    name, or with settings as in `{kind: halving, eta: 3}`."""

    @model_validator(mode="after")
    def _rungs_ascend(self) -> Rungs:
        if any(later <= before for before, later in pairwise(self.documents)):
            raise ValueError("`documents` have to ascend: each rung has more than the one before")
        return self


class Irt(Section):
    """Estimating what a candidate would score on all search documents, by item response theory."""

    estimator: Literal["p_irt", "mp_irt", "gmp_irt"] = "gmp_irt"
    """`p_irt`: answers where there are some, expected ones elsewhere. `mp_irt`: the same, with the ability of a candidate
    as a mixture of its parents'. `gmp_irt`: that and the plain mean, weighed by how well each did for the baselines."""
    dimensions: Annotated[int, Field(ge=1)] = 2
    """Of ability, and of what documents ask for."""


class Subsets(Section):
    """Scoring each generation on documents of its own, drawn from the search documents."""

    per_generation: Annotated[int, Field(ge=1)]
    """Documents of each task that score a generation, fewer than `items.search`: drawn anew for each one, the
    same for all its candidates."""
    leaders: Annotated[int, Field(ge=0)] = 4
    """So many of the best so far are scored on each generation's documents besides. Half of them are the best
    by the mean over all documents that they were asked, the others the best newcomers of the generation
    before."""
    informative: bool = False
    """Leave out, after the first generation, the documents that all its candidates and all parents score the
    same on, such as those that all answer right; so many that there are enough for a generation."""
    irt: IfSet[Irt | None] = None
    """Tell the strategy estimates for all search documents, from a candidate's answers and from what parents, baselines
    and earlier candidates answered; the scores themselves if absent."""
