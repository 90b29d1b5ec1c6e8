"""Check a configuration against what exists: methods, parents, tasks, metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tsugiki.config.lm_eval_tasks import built_in_names, built_in_tasks, local_tasks
from tsugiki.config.load import nearest
from tsugiki.config.run import RunConfig
from tsugiki.config.validate_methods import baseline_faults, stage_faults
from tsugiki.config.validate_parents import parent_faults
from tsugiki.errors import ConfigError

RESERVED = {"baselines", "finalists", "test", "best", "logs", "benchmarks", "figures"}
"""Names of folders that every run has."""


def validate_config(config: RunConfig, *, where: str) -> None:
    """Check everything that can be checked before any file of a parent is read.

    Raises:
        ConfigError: naming every fault, with the nearest valid names.
    """
    faults = [*parent_faults(config), *_stages(config), *_baselines(config), *_tasks(config)]
    if faults:
        raise ConfigError(
            f"{len(faults)} fault{'s' * (len(faults) != 1)} in the configuration",
            where=where,
            got="\n    - " + "\n    - ".join(faults),
            fix="see config/README.md for every key",
        )


def _stages(config: RunConfig) -> Iterator[str]:
    seen: set[str] = set()
    for index, stage in enumerate(config.stages):
        key = f"stages.{index}"
        if stage.name in RESERVED or stage.name in seen:
            yield f"`{key}.name`: {stage.name!r} is taken; choose another name"
        seen.add(stage.name)
        for name in [*stage.parents, *([stage.base] if stage.base else [])]:
            if name not in config.parents:
                yield f"`{key}`: unknown parent {name!r}; {nearest(name, config.parents)}"
        if len(set(stage.parents)) != len(stage.parents):
            yield f"`{key}.parents`: a parent is listed twice"
        tokenizer = stage.space.tokenizer
        if tokenizer is not None and tokenizer not in {*stage.parents, stage.base}:
            yield (
                f"`{key}.space.tokenizer`: {tokenizer!r} is not merged in this stage; "
                f"{nearest(tokenizer, [*stage.parents, *filter(None, [stage.base])])}"
            )
        yield from stage_faults(stage, key)


def _baselines(config: RunConfig) -> Iterator[str]:
    names: set[str] = set(config.parents)
    for index, baseline in enumerate(config.baselines):
        key = f"baselines.{index}"
        if baseline.name in names:
            yield f"`{key}.name`: {baseline.name!r} is taken by a parent or another baseline"
        names.add(baseline.name)
        yield from baseline_faults(baseline, config.stages[0], key)


def _tasks(config: RunConfig) -> Iterator[str]:
    evaluation = config.evaluation
    missing = [path for path in evaluation.task_paths if not Path(path).is_dir()]
    for path in missing:
        yield f"`evaluation.task_paths`: there is no folder {path!r}"
    known = local_tasks(Path(path) for path in evaluation.task_paths if path not in missing)
    named = {objective.task for objective in [*evaluation.objectives, *evaluation.monitors]}
    known |= built_in_tasks(named - known.keys())
    names = built_in_names() if named - known.keys() else set()
    used: set[str] = set()
    for section, objectives in (
        ("objectives", evaluation.objectives),
        ("monitors", evaluation.monitors),
    ):
        for index, objective in enumerate(objectives):
            key = f"evaluation.{section}.{index}"
            if objective.name in used:
                yield f"`{key}.name`: {objective.name!r} is used twice"
            used.add(objective.name)
            if objective.task not in {*known, *names}:
                yield (
                    f"`{key}.task`: unknown task {objective.task!r}; "
                    f"{nearest(objective.task, {*known, *names})}"
                )
            metrics = known[objective.task].metrics if objective.task in known else ()
            if metrics and objective.metric not in metrics:
                yield (
                    f"`{key}.metric`: task {objective.task} has no metric "
                    f"{objective.metric!r}; {nearest(objective.metric, metrics)}"
                )
