"""lm-eval's tasks: found in a small index, loaded, and refused where their scores could not be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.tasks import TaskManager

from tsugiki.config.lm_eval_tasks import TaskFile, built_in_tasks
from tsugiki.errors import ConfigError, InfrastructureError
from tsugiki.evaluate.offline import is_offline


def load_tasks(
    names: list[str], folders: Sequence[str], local: Mapping[str, TaskFile]
) -> dict[str, Any]:
    """Tasks by name, with their documents; groups are given by the names of their tasks.

    Args:
        names: Tasks and groups.
        folders: Where local tasks are.
        local: Those that were found there.

    Raises:
        InfrastructureError: documents are not on this machine, and it may not use the network.
    """
    try:
        tasks: dict[str, Any] = task_index(names, folders, local).load(names)["tasks"]
    except (OSError, ValueError) as error:  # the libraries have a dozen errors for one cause
        if not is_offline():
            raise
        raise InfrastructureError(
            "the documents of a task are not on this machine, and it may not use the network",
            where=", ".join(names),
            got=f"{type(error).__name__}: {error}",
            fix="run the step `items` first, where there is a network, with HF_HOME on a disk that "
            "this machine sees too; or set HF_DATASETS_OFFLINE=0 and HF_HUB_OFFLINE=0",
        ) from error
    return tasks


def task_index(
    names: Sequence[str], folders: Sequence[str], local: Mapping[str, TaskFile]
) -> TaskManager:
    """lm-eval's index, of no more folders than the tasks `names` need.

    The index of all tasks that come with lm-eval takes ten seconds.
    """
    built_in = built_in_tasks(name for name in names if name not in local)
    theirs = sorted({str(task.path.parent) for task in built_in.values()})
    return TaskManager(
        include_path=[*folders, *theirs],
        include_defaults=not all(name in local or name in built_in for name in names),
    )


def refuse_leaking_examples(name: str, task: Any) -> None:
    """A task without a split of its own for examples shows documents' own answers in prompts."""
    if not task.config.num_fewshot:
        return
    settings, config = task.fewshot_cfg, task.config
    source = settings.split
    if source is None and settings.samples is None:
        # lm-eval's own choice where a task makes none
        source = config.training_split or config.validation_split or config.test_split
    if source is None or source != (config.test_split or config.validation_split):
        return
    raise ConfigError(
        f"task {name} takes its solved examples from the documents that it is tested on",
        where="evaluation.num_fewshot",
        got=f"{config.num_fewshot} examples from the split `{source}`",
        fix="set `num_fewshot: 0`, or give the task a `fewshot_split` or `fewshot_config.samples`",
    )


def refuse_sampling(name: str, task: Any) -> None:
    """Scores must not depend on chance."""
    settings = task.config.generation_kwargs or {}
    samples = settings.get("do_sample")
    if samples or (samples is None and float(settings.get("temperature", 0.0)) > 0.0):
        raise ConfigError(
            f"task {name} samples its answers",
            where=f"generation_kwargs of {name}",
            expected="greedy decoding: scores must not depend on chance",
            got=f"do_sample: {samples}, temperature: {settings.get('temperature')}",
            fix="use a task with `do_sample: false`, or a copy of this one in `task_paths`",
        )
