"""What came of evaluating a candidate: a score, or a failure with its reason. And what it took."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeGuard

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    field_validator,
)

from tsugiki.contracts.data import Data, IfSet
from tsugiki.json_files import read_json


class Measured(Data):
    """One metric on one set of items."""

    value: float
    """The task's own aggregation over the items: their mean, unless `aggregation` names another."""
    items: int
    """How many items it is made of."""
    aggregation: IfSet[str | None] = None
    """As lm-eval calls it, or `!function` and its name in the task's code; None for the mean."""

    @field_validator("value")
    @classmethod
    def _value_is_finite(cls, value: float) -> float:
        if not math.isfinite(value):
            raise ValueError("a score is finite; a model without one is a failure")
        return value


class SoFar(Data):
    """What a candidate has scored on all documents that it was asked, by several generations."""

    generations: int
    """How many have asked it; the first of them drew it, and it came again as one of the best."""
    measured: dict[str, Measured]
    """By objective (or monitor) name."""


class Scored(Data):
    """The candidate was scored."""

    status: Literal["scored"] = "scored"
    recipe: str
    """Digest of the recipe."""
    evaluation: str
    """Digest of everything else that determines the score: tasks, items, engine, number format."""
    measured: dict[str, Measured]
    """By objective (or monitor) name."""
    rates: dict[str, float]
    """Mean over all generated answers: `tokens`, `truncated`, `empty`, and, where the task's
    metrics report them, `parsed`, `language`. Where there are any, `cut`: the share of documents
    whose prompt was longer than what the model can read, and lost its start."""
    weights: str
    """Digest of the merged weights that were scored."""
    records: str
    """SHA-256 of items.parquet, the record of every item."""
    rung: IfSet[int | None] = None
    """The rung whose documents it was scored on, from 0; None for the last one, or where there are none."""
    so_far: IfSet[SoFar | None] = None
    """Where each generation has documents of its own, of which all else here is; None elsewhere."""

    @property
    def times(self) -> int:
        """How many generations have asked it documents of their own; 1 where all have the same ones."""
        return 1 if self.so_far is None else self.so_far.generations

    @property
    def overall(self) -> Scored:
        """The same with the values over all documents that it was asked."""
        measured = self.measured if self.so_far is None else self.so_far.measured
        return self.model_copy(update={"measured": measured})


class Failed(Data):
    """The candidate has no score. It ranks last."""

    status: Literal["failed"] = "failed"
    recipe: str
    evaluation: str
    kind: Literal["recipe", "model", "evaluation"]
    """`recipe`: describes no valid merge. `model`: broken weights or outputs. `evaluation`: the
    task's own code failed on it. Faults of the machine are never an outcome."""
    reason: str
    rung: IfSet[int | None] = None
    """The rung at which it failed; None for the last one, or where there are none."""


def is_whole(outcome: Scored | Failed) -> TypeGuard[Scored]:
    """Whether a candidate was scored on all documents: only such scores compare."""
    return isinstance(outcome, Scored) and outcome.rung is None


Outcome = Annotated[Scored | Failed, Field(discriminator="status")]
OUTCOME: TypeAdapter[Scored | Failed] = TypeAdapter(Outcome)


class Cost(BaseModel):
    """cost.json: what an evaluation took. Differs between runs, so that no digest covers it."""

    model_config = ConfigDict(frozen=True)

    seconds_merge: float
    seconds_forward: float
    seconds_total: float
    tokens: int
    host: str
    device: str
    started: datetime
    finished: datetime
    generation: int | None = None
    """Which one of its phase it was scored for; later ones take the score as it is. Files of earlier versions do not say."""


def read_cost(path: Path) -> Cost | None:
    """Read a candidate's cost file, that of the last rung that it reached where it was left at one.

    None where there is none, since the ledger does not depend on it.

    Raises:
        LineageError: the file is there and is not a cost file.
    """
    rungs = path.parent.glob(f"rung-*/{path.name}")
    for place in (path, *sorted(rungs, key=lambda one: (len(one.parent.name), one), reverse=True)):
        try:
            return read_json(place, Cost.model_validate_json, "cost file")
        except FileNotFoundError:
            continue
    return None
