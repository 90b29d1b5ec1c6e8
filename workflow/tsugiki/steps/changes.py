"""What an edit does to a run that has begun, said before anything is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tsugiki.config.load import changed_keys, read_config
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import Stage
from tsugiki.config.task_files import task_sources
from tsugiki.contracts.item_sets import Goal
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import ConfigError, LineageError
from tsugiki.evaluate.items import decided_evaluation
from tsugiki.steps.plan import Plan

SHOWN = 4
"""Changed keys that are named in a line."""


class Effect(NamedTuple):
    """One thing that is done anew."""

    line: str
    stages: set[str]
    """The stages whose recorded generations it would replace."""


def announce_changes(files: RunFiles, config: RunConfig, *, say: Callable[[str], None]) -> None:
    """Say what is done anew and why; refuse what would replace recorded generations of a stage.

    The configuration is compared with the one that the run was last started with, and the files of its
    tasks with those that documents were divided by.

    Raises:
        LineageError: a stage with a ranked generation would start anew, or be scored anew.
    """
    if not files.config.is_file():
        return
    recorded = {
        stage.name
        for stage in config.stages
        if files.series(stage.name).generation(0).outcomes.is_file()
    }
    try:
        before = read_config(files.config)
    except ConfigError as error:
        raise LineageError(
            "the configuration that the run was last started with cannot be read",
            where=str(files.config),
            got=error.what,
            fix="put the file back; or set another `name`, or move the run's folder away",
        ) from error
    effects = [*effects_of(Plan(files, before), Plan(files, config)), *_of_tasks(files, config)]
    if replaced := [effect.line for effect in effects if effect.stages & recorded]:
        raise LineageError(
            "recorded results of the search would be replaced",
            where=str(files.root),
            got="".join(f"\n    - {line}" for line in replaced),
            fix="set another `name` for a new run, or move the folder away, or undo the change",
        )
    for effect in effects:
        say(f"changed since the last start: {effect.line}")


def effects_of(before: Plan, after: Plan) -> Iterator[Effect]:
    """What is done anew because the configuration has changed."""
    edit = _Edit(before, after)
    yield from edit.of_evaluation()
    yield from edit.of_parents()
    for stage in after.config.stages:
        yield from edit.of_stage(stage)
    yield from edit.of_finals()


class _Edit:
    """A configuration before and after it was edited."""

    def __init__(self, before: Plan, after: Plan) -> None:
        self.before, self.after = before, after
        self.changed = changed_keys(before.config, after.config)
        then, now = (_goals(plan) for plan in (before, after))
        self.same_goals = then == now
        if self.same_goals:
            # older versions wrote out the goals that a configuration leaves to the task
            self.changed = {
                key: values
                for key, values in self.changed.items()
                if not (key.endswith("].goal") and values[1] == "null")
            }

    def why(self, *keys: str) -> str:
        """Those of the changed keys that are below some keys, in words."""
        found = [
            f"`{key}` {then} → {now}"
            for key, (then, now) in self.changed.items()
            if _below(key, keys)
        ]
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        return ", ".join(found[:SHOWN]) + more

    def of_evaluation(self) -> Iterator[Effect]:
        if self.same_goals and self.before.evaluation_key() == self.after.evaluation_key():
            return
        why = self.why("evaluation", "seed")
        if {key for key in self.changed if _below(key, ("evaluation", "seed"))} == {
            "evaluation.task_paths"
        }:
            yield Effect(f"{why}: steps are planned again, and what has a score keeps it", set())
        else:
            yield Effect(f"{why}: every model is scored anew", set(self.after.stages))

    def of_parents(self) -> Iterator[Effect]:
        if self.before.parents_key() == self.after.parents_key():
            return
        then, now = self.before.config, self.after.config
        other = {name for name, one in now.parents.items() if one != then.parents.get(name)}
        if then.vocabulary != now.vocabulary:
            other = set(now.parents)
        made = {stage.name for stage in now.stages if other & set(now.origins(stage))}
        yield Effect(f"{self.why('parents', 'vocabulary')}: the parents are locked anew", made)

    def of_stage(self, stage: Stage) -> Iterator[Effect]:
        old = self.before.config.stage(stage.name)
        if old is None:
            return
        if self.before.stage_key(stage.name) != self.after.stage_key(stage.name):
            names = sorted({stage.name, *_behind(self.after, stage.name)})
            why = self.why("seed", *(f"stages[{name}]" for name in names))
            yield Effect(f"{why}: stage {stage.name} starts anew", {stage.name})
        elif old.budget.generations != stage.budget.generations:
            merging = {one for one in self.after.stages if stage.name in _behind(self.after, one)}
            why = self.why(f"stages[{stage.name}]")
            yield Effect(f"{why}: what follows from stage {stage.name} is done anew", merging)

    def of_finals(self) -> Iterator[Effect]:
        if self.before.baselines_key() != self.after.baselines_key():
            why = self.why("baselines", "stages", "seed")
            yield Effect(f"{why}: baselines and the final table are made anew", set())
        if self.before.finalists_key() != self.after.finalists_key():
            merging = {name for name in self.after.stages if _behind(self.after, name)}
            line = "finalists are chosen anew, and what follows from them is done anew"
            yield Effect(f"{self.why('finalists')}: {line}", merging)
        if self.before.tracking_key() != self.after.tracking_key():
            yield Effect(f"{self.why('tracking')}: all generations are tracked anew", set())


def _of_tasks(files: RunFiles, config: RunConfig) -> Iterator[Effect]:
    """What is done anew because a task's files have changed. Old runs have no record of them."""
    try:
        then = json.loads(files.environment.read_bytes()).get("tasks", {})
    except (OSError, ValueError):
        return
    stages = {stage.name for stage in config.stages}
    for name, now in task_sources(config.evaluation).items():
        if then.get(name, now) != now:
            yield Effect(
                f"files of the task {name} have changed: every model is scored anew", stages
            )


def _goals(plan: Plan) -> dict[str, Goal | None]:
    """Which way each objective goes, as the configuration says, or its task said before."""
    evaluation = decided_evaluation(plan.config, plan.files.items)
    return {one.name: one.goal for one in evaluation.measured}


def _behind(plan: Plan, name: str) -> set[str]:
    """The earlier stages whose results a stage merges, and those behind them."""
    stage = plan.config.stage(name)
    merged = {one for one in stage.members if one in plan.stages} if stage else set()
    return merged.union(*(_behind(plan, one) for one in merged))


def _below(key: str, above: tuple[str, ...]) -> bool:
    return any(key == one or key.startswith((f"{one}.", f"{one}[")) for one in above)
