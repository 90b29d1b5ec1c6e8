"""What an edit does to a run that has begun, said before anything is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from tsugiki.config.load import changed_keys, read_config
from tsugiki.config.run import RunConfig
from tsugiki.config.sources import measured_sources
from tsugiki.config.stage import Stage
from tsugiki.contracts.document_sets import Goal
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import scored_generations
from tsugiki.contracts.recipe import read_recipe
from tsugiki.errors import ConfigError, LineageError
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.space.read import read_genome
from tsugiki.steps.origins import outside_file
from tsugiki.steps.plan import Plan

SHOWN = 4
"""Changed keys that are named in a line."""


class Effect(NamedTuple):
    """One thing that is done anew."""

    line: str
    stages: AbstractSet[str] = frozenset()
    """The stages whose recorded generations it would replace."""


def announce_changes(files: RunFiles, config: RunConfig, *, log: Callable[[str], None]) -> None:
    """Say what is done anew and why; refuse what would replace recorded generations of a stage.

    The configuration is compared with the one that the run was last started with, and the files of its
    tasks with those that documents were divided by.

    Raises:
        LineageError: a stage with a ranked generation would start anew, or be scored anew.
    """
    if not files.config.is_file():
        return
    try:
        before = read_config(files.config)
    except ConfigError as error:
        raise LineageError(
            "the configuration that the run was last started with cannot be read",
            where=str(files.config),
            got=error.what,
            fix="put the file back; or set another `name`, or move the run's folder away",
        ) from error
    names = [stage.name for stage in config.searches]
    recorded = {name for name in names if files.phase(name).generation(0).outcomes.is_file()}
    effects = [
        *_Edit(Plan(files, before), Plan(files, config)).effects(),
        *_of_tasks(files, config),
        *_of_origins(files, config),
    ]
    if replaced := [effect.line for effect in effects if effect.stages & recorded]:
        raise LineageError(
            "recorded results of the search would be replaced",
            where=str(files.root),
            got="".join(f"\n    - {line}" for line in replaced),
            fix="set another `name` for a new run, or move the folder away, or undo the change",
        )
    for effect in effects:
        log(f"changed since the last start: {effect.line}")


class _Edit:
    """A configuration before and after it was edited."""

    def __init__(self, before: Plan, after: Plan) -> None:
        self.before, self.after = before, after
        self.changed = changed_keys(before.config, after.config)
        self.same_goals = _goals(before) == _goals(after)
        if self.same_goals:
            # older versions wrote out the goals that a configuration leaves to the task
            self.changed = {
                key: values
                for key, values in self.changed.items()
                if not (key.endswith("].goal") and values[1] == "null")
            }

    def effects(self) -> Iterator[Effect]:
        """What is done anew because of the edit."""
        yield from self._of_evaluation()
        yield from self._of_parents()
        for stage in self.after.config.searches:
            yield from self._of_stage(stage)
        yield from self._of_finals()

    def _below(self, *above: str) -> dict[str, tuple[str, str]]:
        """Those of the changed keys that are, or are below, some keys, with both values."""
        return {
            key: values
            for key, values in self.changed.items()
            if any(key == one or key.startswith((f"{one}.", f"{one}[")) for one in above)
        }

    def _why(self, *above: str) -> str:
        """Those keys in words."""
        found = [f"`{key}` {then} → {now}" for key, (then, now) in self._below(*above).items()]
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        return ", ".join(found[:SHOWN]) + more

    def _of_evaluation(self) -> Iterator[Effect]:
        if self.same_goals and self.before.evaluation_key() == self.after.evaluation_key():
            return
        why = self._why("evaluation", "seed")
        if set(self._below("evaluation", "seed")) == {"evaluation.task_paths"}:
            yield Effect(f"{why}: steps are planned again, and what has a score keeps it")
        else:
            yield Effect(f"{why}: every model is scored anew", set(self.after.stages))

    def _of_parents(self) -> Iterator[Effect]:
        if self.before.parents_key() == self.after.parents_key():
            return
        then, now = self.before.config, self.after.config
        other = {name for name, one in now.parents.items() if one != then.parents.get(name)}
        if then.vocabulary != now.vocabulary:
            other = set(now.parents)
        made = {stage.name for stage in now.searches if other & set(now.origins(stage))}
        yield Effect(f"{self._why('parents', 'vocabulary')}: the parents are locked anew", made)

    def _of_stage(self, stage: Stage) -> Iterator[Effect]:
        old, name = self.before.config.stage(stage.name), stage.name
        if old is None:
            return
        if self.before.stage_key(name) != self.after.stage_key(name):
            names = sorted({name, *_behind(self.after, name)})
            begun = [self.after.config.stage(one) for one in names]
            subsets = self.after.config.subsets_of(name)
            tuned = any(one and any(o.is_baseline for o in one.origins.values()) for one in begun)
            tuned = tuned or (subsets is not None and subsets.irt is not None)
            if self.after.config.is_rival(name):
                names += [self.after.config.stages[-1].name]
            why = self._why(
                "seed", *(f"stages[{one}]" for one in names), *(["baselines"] if tuned else [])
            )
            yield Effect(f"{why}: stage {name} starts anew", {name})
        elif old.budget != stage.budget:
            yield from self._of_budget(stage, old.budget.generations)

    def _of_budget(self, stage: Stage, before: int) -> Iterator[Effect]:
        """A larger budget goes on; a smaller one that recorded generations exceed cannot be met.

        A rival has the budget of the last stage, but may have gone on for longer.
        """
        name, most = stage.name, stage.budget.generations
        rival = self.after.config.is_rival(name)
        why = self._why(f"stages[{self.after.config.stages[-1].name if rival else name}].budget")
        merging = {one for one in self.after.stages if name in _behind(self.after, one)}
        eras, ranked = self.after.eras(name), _ranked(self.after, name)
        changed = [] if eras == self.before.eras(name) else [eras[-1].since]
        end = min([most, *changed])
        if end < ranked:
            line = f"stage {name} would have ended after {end} of its {ranked} ranked generations"
            yield Effect(f"{why}: {line}", {name})
        elif (changed or before != most) and not rival:
            yield Effect(f"{why}: what follows from stage {name} is done anew", merging)

    def _of_finals(self) -> Iterator[Effect]:
        before, after = self.before, self.after
        if before.baselines_key() != after.baselines_key():
            why = self._why("baselines", "stages", "seed")
            yield Effect(f"{why}: baselines and the final table are made anew")
        if before.config.rival_stages.keys() != after.config.rival_stages.keys():
            yield Effect(f"{self._why('rivals')}: the final table is made anew with other rivals")
        if before.finalists_key() != after.finalists_key():
            merging = {name for name in after.stages if _behind(after, name)}
            line = "finalists are chosen anew, and what follows from them is done anew"
            yield Effect(f"{self._why('finalists')}: {line}", merging)
        if before.flatness_key() != after.flatness_key() and self._below("finalists"):
            why = self._why("finalists.flatness")
            yield Effect(f"{why}: neighbours of the winner and the final table are made anew")
        if before.repeat_key() != after.repeat_key() and self._below("evaluation"):
            line = "models are scored a second time, and the final table is made anew"
            yield Effect(f"{self._why('evaluation.repeat_check')}: {line}")
        if before.tracking_key() != after.tracking_key():
            yield Effect(f"{self._why('tracking')}: all generations are tracked anew")


def _of_tasks(files: RunFiles, config: RunConfig) -> Iterator[Effect]:
    """What is done anew because a task's files have changed. Old runs have no record of them."""
    try:
        then = json.loads(files.environment.read_bytes()).get("tasks", {})
    except (OSError, ValueError):
        return
    stages = {stage.name for stage in config.searches}
    for name, now in measured_sources(config.evaluation).items():
        if then.get(name, now) != now:
            line = f"files of the task {name} have changed: every model is scored anew"
            yield Effect(line, stages)


def _of_origins(files: RunFiles, config: RunConfig) -> Iterator[Effect]:
    """What is done anew because a recipe that is no part of the run is another one now."""
    for stage in config.stages:
        if not stage.origins or not (path := files.phase(stage.name).space).is_file():
            continue
        recorded = {one.name: one.recipe for one in read_genome(path).known}
        for name, origin in stage.origins.items():
            if name not in recorded or origin.is_baseline or origin.stage is not None:
                continue
            if read_recipe(outside_file(origin)).digest != recorded[name]:
                yield Effect(
                    f"{origin} is another recipe: stage {stage.name} starts anew", {stage.name}
                )


def _goals(plan: Plan) -> dict[str, Goal | None]:
    """Which way each objective goes, as the configuration says, or its task said before."""
    evaluation = decided_evaluation(plan.config, plan.files.items)
    return {one.name: one.goal for one in evaluation.measured}


def _ranked(plan: Plan, name: str) -> int:
    """How many ranked generations of a stage have candidates, as far as they can be read."""
    try:
        return len(scored_generations(plan.files.phase(name)))
    except LineageError:
        return 0


def _behind(plan: Plan, name: str) -> set[str]:
    """The earlier stages whose results a stage merges or begins with, and those behind them."""
    merged = set(plan.stages_before(name)) if name in plan.stages else set[str]()
    return merged.union(*(_behind(plan, one) for one in merged))
