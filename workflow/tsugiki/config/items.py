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
    """Documents of each task that score every candidate."""
    validation: Annotated[int, Field(ge=1)] = 200
    """Documents that, together with the search scores, choose the winner among the finalists."""
    test: Annotated[int, Field(ge=1)] = 1000
    """Documents that are used once, for the final table."""
    search_split: IfSet[Literal["training"] | None] = None
    """`training`: take the search documents from each task's `training_split`, so that all documents of its test
    split are left for validation and test. If absent, all three sets are from the test split."""


def _by_name(rule: Any) -> Any:
    """A rule whose settings are the defaults may be written as its name."""
    return {"kind": rule} if isinstance(rule, str) else rule


def _name_alone(rule: Rule, handler: SerializerFunctionWrapHandler) -> Any:
    """So that digests and files of runs with a rule that has no settings stay what they were."""
    return handler(rule) if len(type(rule).model_fields) > 1 else rule.kind


class Rungs(Section):
    """Scoring the candidates of a generation on a few search documents first, and the better ones on more."""

    documents: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    """Number of documents of each task on each rung, ascending, at most `items.search`. The documents of a rung are
    among those of the next one; the last number is for candidates that are never eliminated."""
    rule: Annotated[
        AnyRule,
        Field(discriminator="kind"),
        BeforeValidator(_by_name, json_schema_input_type=AnyRule | str),
        WrapSerializer(_name_alone),
    ] = NoneLeft()
    """What decides after each rung except the last which candidates continue: `none`, `halving` or `racing`, by
    name, or with settings as in `{kind: halving, eta: 3}`."""

    @model_validator(mode="after")
    def _rungs_ascend(self) -> Rungs:
        if any(later <= before for before, later in pairwise(self.documents)):
            raise ValueError("`documents` have to ascend: each rung has more than the one before")
        return self


class Irt(Section):
    """Estimating what a candidate would score on all search documents, by item response theory."""

    estimator: Literal["p_irt", "mp_irt", "gmp_irt"] = "gmp_irt"
    """`p_irt`: scores of the documents that were answered, expected scores of the others. `mp_irt`: the same, with a
    candidate's ability as a linear combination of the parents' abilities. `gmp_irt`: a mean of that and the plain mean
    score, weighted by how exact each is for the baselines."""
    dimensions: Annotated[int, Field(ge=1)] = 2
    """Dimensions of ability, and of what documents demand."""


class Subsets(Section):
    """Scoring each generation on its own random subset of the search documents."""

    per_generation: Annotated[int, Field(ge=1)]
    """Documents of each task for a generation, fewer than `items.search`: drawn anew for each generation, the
    same for all its candidates."""
    leaders: Annotated[int, Field(ge=0)] = 4
    """So many of the best candidates so far are also scored on each generation's documents. Half of them are the best
    by the mean over all documents that they were scored on, the others the best new candidates of the generation
    before."""
    informative: bool = False
    """Leave out, from the second generation on, documents on which all parents and all candidates of the first generation
    score the same, such as those that all answer right; never so many that too few are left for a generation."""
    irt: IfSet[Irt | None] = None
    """Let the strategy learn from estimates of the scores on all search documents, made from a candidate's answers and
    those of parents, baselines and earlier candidates. If absent, from the scores themselves."""
