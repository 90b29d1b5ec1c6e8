"""Check a configuration against what exists: methods, parents, tasks, metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tsugiki.config.lm_eval_tasks import built_in_names, built_in_tasks, local_tasks
from tsugiki.config.load import nearest
from tsugiki.config.run import RunConfig
from tsugiki.config.validate_backend import backend_faults
from tsugiki.config.validate_methods import baseline_faults
from tsugiki.config.validate_parents import parent_faults
from tsugiki.config.validate_stages import stages
from tsugiki.errors import ConfigError


def validate_config(config: RunConfig, *, where: str) -> None:
    """Check everything that can be checked before any file of a parent is read.

    Raises:
        ConfigError: naming every fault, with the nearest valid names.
    """
    faults = [
        *parent_faults(config),
        *stages(config),
        *_baselines(config),
        *_tasks(config),
        *backend_faults(config),
    ]
    if faults:
        raise ConfigError(
            f"{len(faults)} fault{'s' * (len(faults) != 1)} in the configuration",
            where=where,
            got="\n    - " + "\n    - ".join(faults),
            fix="see config/README.md for every key",
        )


def _baselines(config: RunConfig) -> Iterator[str]:
    names: set[str] = {*config.parents, *(stage.name for stage in config.stages)}
    for index, baseline in enumerate(config.baselines):
        key = f"baselines.{index}"
        if baseline.name in names:
            yield f"`{key}.name`: {baseline.name!r} is taken by a parent, a stage or another baseline"
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
    for task in sorted(evaluation.document_keys.keys() - named):
        yield f"`evaluation.document_keys`: no objective has the task {task!r}; {nearest(task, named)}"
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
