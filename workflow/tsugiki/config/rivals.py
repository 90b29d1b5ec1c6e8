"""Searches that the last stage is compared with: at its price, and nobody merges what they find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tsugiki.config.baselines import AnyBaseline, Baseline
from tsugiki.config.dataflow import DataflowSpace
from tsugiki.config.stage import Gene, Origin, ParameterSpace, Stage
from tsugiki.strategies.coordinate_climb import CoordinateClimb
from tsugiki.strategies.random_search import RandomSearch
from tsugiki.strategies.strategy import Strategy

Rival = Literal["random", "climb"]
ROWS: dict[Rival, str] = {"random": "random search", "climb": "coordinate climb"}
"""Their rows in the final table; no parent, stage or baseline can be called so."""

UNENDING = {"stagnation": None, "settled": None}
"""Limits that a rival has not: those that look at progress."""

METHOD = "task_arithmetic"
"""What the climb climbs on, where there is a base."""
WEIGHTS = (0.0, 1.5)
"""Its range, where the stage has no weights of its own; wider, if the baseline's grid is."""


def rival_stages(
    rivals: Sequence[Rival],
    last: Stage,
    size: int | None,
    merged: Stage,
    baselines: Sequence[AnyBaseline],
) -> dict[Rival, Stage]:
    """What the rivals of a run search, as stages.

    They have the parents of the last stage and its number of generations, each at the price of one of its
    generations. What ends that stage early, for want of progress, does not end them. Random search has its
    space, too. So has the climb where there is no base; where there is one it climbs over the weights of
    task arithmetic, one for each parent and block, from the best point of a baseline that is task
    arithmetic of the same models. A search is no rival of itself. `size` is the candidates in a generation
    of theirs (if absent, those of the last stage's first one), `merged` the stage whose models the
    baselines merge.
    """
    strategies: dict[Rival, Strategy] = {
        "random": RandomSearch(kind="random", population=size),
        "climb": CoordinateClimb(kind="coordinate_climb", population=size),
    }
    budget = last.budget.model_copy(update=UNENDING)
    if size != getattr(
        last.strategy, "population", None
    ):  # its candidates cost more: fewer are as dear
        budget = budget.model_copy(update={"evaluations": None})
    spaces: dict[Rival, Stage] = {"random": last, "climb": _climbed(last, merged, baselines)}
    return {
        rival: spaces[rival].model_copy(
            update={
                "name": f"{last.name}-{rival}",
                "strategy": strategies[rival],
                "start": spaces[rival].start if rival == "climb" else None,
                "inject": {},
                "surrogate": None,
                "budget": budget,
            }
        )
        for rival in dict.fromkeys(rivals)
        if strategies[rival].kind != last.strategy.kind
    }


def _climbed(last: Stage, merged: Stage, baselines: Sequence[AnyBaseline]) -> Stage:
    """The stage with the space of the climb, and its start."""
    space = last.space
    if isinstance(space, DataflowSpace) or last.base is None:
        return last
    same = (last.parents, last.base) == (merged.parents, merged.base)
    tuned = next((one for one in baselines if same and _is_start(one)), None)
    fixed = tuned.options if isinstance(tuned, Baseline) else {}
    weights = space.genes.get("weight")
    low, high = WEIGHTS if weights is None else weights.range
    grid = tuned.parameters.get("weight", low) if isinstance(tuned, Baseline) else low
    values = grid if isinstance(grid, list) else [grid]
    climbed = ParameterSpace(
        method=METHOD,
        genes={"weight": Gene(range=(min([low, *values]), max([high, *values])))},
        options={name: one for name, one in fixed.items() if not isinstance(one, list)},
        dtype=space.dtype,
        tokenizer=space.tokenizer,
    )
    start = None if tuned is None else Origin(baseline=tuned.name)
    return last.model_copy(update={"space": climbed, "start": start})


def _is_start(baseline: AnyBaseline) -> bool:
    """Whether the climb's space has all points of a baseline's grid."""
    if not isinstance(baseline, Baseline) or baseline.method != METHOD:
        return False
    return not any(isinstance(one, list) for one in baseline.options.values())
