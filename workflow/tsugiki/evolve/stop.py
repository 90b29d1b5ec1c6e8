"""Whether a stage ends before its last generation: a pure function of what is recorded of those before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsugiki.config.stage import Budget
from tsugiki.contracts.population import Generation, Population
from tsugiki.contracts.spread import Spread, risen
from tsugiki.contracts.usage import Used
from tsugiki.strategies.state import State

HOURS = "GPU-hours used"
UNUSED = Used()


@dataclass(frozen=True, eq=False)
class Past:
    """What is recorded of a stage so far, as far as its budget and its strategy ask for it.

    Attributes:
        used: Models and answers.
        tokens: Generated.
        hours: Of scoring. A clock says so, and no digest covers it: see `hours_at`.
        spreads: Of the latest generations, the last one last; None where nothing can be said.
        by_document: What `Scores.by_document` is of the last generation.
        left_out: Search documents by source that later generations are not scored on, where that is found
            out now.
        history: Earlier generations, in order, which a surrogate is fitted on besides.
        tells_left: Whether the strategy is told who was left at a rung. Earlier versions had a coordinate climb
            take their lowered scores for those on all documents.
    """

    used: Used = UNUSED
    tokens: int = 0
    hours: float = 0.0
    spreads: Sequence[Spread | None] = ()
    by_document: npt.NDArray[np.float64] | None = None
    left_out: dict[str, list[int]] | None = None
    history: Sequence[tuple[Population, Generation]] = ()
    tells_left: bool = True


def stop_reason(budget: Budget, state: State, generation: int, past: Past) -> str | None:
    """Why the stage ends before `generation`, or None.

    The number of generations itself is the workflow's: it plans so many and no more. No limit is in the
    words, so that they are the same under a larger one that is reached as well. The strategy's `state` is
    told of all generations before `generation`.
    """
    if not generation:
        return None
    if budget.stagnation is not None:
        idle = generation - 1 - int(state.scalars["best_generation"])
        if idle >= budget.stagnation:
            return f"no better candidate in {idle} generations"
    for limit, number, unit in (
        (budget.evaluations, past.used.evaluations, "models scored"),
        (budget.answers, past.used.answers, "documents answered"),
        (budget.tokens, past.tokens, "tokens generated"),
    ):
        if limit is not None and number >= limit:
            return f"{number:,} {unit}"
    if budget.settled is not None and (reason := _settled(past.spreads, budget.settled)):
        return reason
    hours = round(past.hours, 4)  # as it is read back
    if budget.gpu_hours is not None and hours >= budget.gpu_hours:
        return f"{hours:.4f} {HOURS}"
    return None


def hours_at(stopped: str | None) -> float:
    """The hours by which a recorded generation says that its stage ended; 0 if it ended by other limits.

    Deriving a generation again takes these and not those of the clock, which may have been written anew.
    """
    found = re.fullmatch(rf"([\d.]+) {HOURS}", stopped or "")
    return float(found[1]) if found else 0.0


def _settled(spreads: Sequence[Spread | None], patience: int) -> str | None:
    latest = spreads[-patience:]
    if len(latest) == patience and all(one is not None and one.is_noise for one in latest):
        return f"the noise of the documents explains all differences of {patience} generations"
    start, later = spreads[-patience - 1 : -patience], spreads[-patience:]
    if start and start[0] is not None:
        before = start[0]
        if all(one is not None and risen(before, one) is False for one in later):
            return (
                f"the mean has not risen by more than its standard error in {patience} generations"
            )
    return None
