"""Under which limits each generation of a stage was drawn, so that a larger budget makes it go on.

Snakemake runs a step again if its parameters have changed, and limits of a stage are among those of its
generations. So generations keep the limits that they were drawn under, and only those from the one on that
a new limit makes something else of get the new ones. budgets.json says which, once there is more than one.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tsugiki import atomic
from tsugiki.canonical import pretty_json
from tsugiki.config.load import read_config
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import entries
from tsugiki.errors import ConfigError, LineageError
from tsugiki.evolve.stop import stop_reason
from tsugiki.steps.past import spent
from tsugiki.strategies.state import read_state


class Era(NamedTuple):
    """Generations that were, or are to be, drawn under the same limits."""

    since: int
    """The first of them."""
    limits: dict[str, Any]
    """`Budget.limits`."""


def eras_of(files: RunFiles, config: RunConfig, stage: Stage) -> list[Era]:
    """The eras of a stage, the first one from generation 0 on.

    The limits of the configuration are the last one's, where they make something else of a recorded
    generation. Files that are missing or damaged are for others to complain of.
    """
    recorded = recorded_eras(files, stage) or [Era(0, stage.budget.limits)]
    if recorded[-1].limits == stage.budget.limits:
        return recorded
    try:
        changed = _first_ended_otherwise(files, config, stage)
    except LineageError:
        return recorded
    if changed is None:
        return recorded
    since, _ = changed
    return [*(era for era in recorded if era.since < since), Era(since, stage.budget.limits)]


def _first_ended_otherwise(
    files: RunFiles, config: RunConfig, stage: Stage
) -> tuple[int, str | None] | None:
    """The first recorded generation before which a stage would, or would not, have ended by its budget.

    Returns:
        Its number, and why the stage ends before it by this budget (None if it goes on); None where the
        budget makes nothing of what is recorded otherwise.

    Raises:
        LineageError: a file is missing or damaged.
    """
    for entry in entries(files.phase(stage.name)):
        if not entry.number:
            continue
        past = spent(files, config, stage, entry.number - 1, entry.population)
        now = stop_reason(stage.budget, read_state(entry.files.state), entry.number, past)
        if now != entry.population.stopped:
            return entry.number, now
        if now is not None:
            return None
    return None


def recorded_eras(files: RunFiles, stage: Stage) -> list[Era]:
    """The eras that are written down, or one of the limits that the run was last started with.

    None before the stage's first generation is ranked.
    """
    if not files.phase(stage.name).generation(0).outcomes.is_file():
        return []
    if files.budgets.is_file():
        found = json.loads(files.budgets.read_bytes()).get(stage.name, [])
        if found:
            return [Era(*one) for one in found]
    try:
        before = read_config(files.config).stage(stage.name) if files.config.is_file() else None
    except ConfigError:
        return []
    return [] if before is None else [Era(0, before.budget.limits)]


def write_eras(files: RunFiles, of_stages: dict[str, list[Era]]) -> None:
    """Write budgets.json, for the stages that have more than one era, or one of other limits than now."""
    if of_stages or files.budgets.is_file():
        atomic.write_if_changed(files.budgets, pretty_json(of_stages))
