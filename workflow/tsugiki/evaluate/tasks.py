"""lm-eval's tasks: found in a small index, loaded, and refused where their scores could not be trusted."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.tasks import TaskManager

from tsugiki.config.lm_eval_tasks import TaskFile, built_in_tasks
from tsugiki.errors import ConfigError, InfrastructureError
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.offline import is_absent


def load_tasks(
    names: list[str], folders: Sequence[str], local: Mapping[str, TaskFile]
) -> dict[str, Any]:
    """Tasks by name, with their documents; groups are given by the names of their tasks.

    Args:
        names: Tasks and groups.
        folders: Where local tasks are.
        local: Those that were found there.

    Raises:
        ConfigError: a fault in the file, code or data of some; each one is named.
        InfrastructureError: documents are not on this machine, and the network does not give them.
    """
    index = task_index(names, folders, local)
    tasks: dict[str, Any] = {}
    faults: list[ConfigError] = []
    absent: dict[str, Exception] = {}
    for name in names:
        try:
            tasks |= index.load([name])["tasks"]
        except Exception as error:  # noqa: BLE001 - a task's own code runs here
            if is_machine_fault(error) or is_absent(error):
                absent[name] = error
                continue
            entry = index.task_index.get(name)
            file = entry.yaml_path if entry is not None else None
            data = (entry.cfg or {}).get("dataset_kwargs") if entry is not None else None
            faults.append(broken_task(name, file, error, data=data))
    refuse(faults)
    if absent:
        first = next(iter(absent.values()))
        raise InfrastructureError(
            "the documents of a task are not on this machine, and it may not use the network, "
            "or gets no answer",
            where=", ".join(absent),
            got=f"{type(first).__name__}: {first}",
            fix="run the step `items` first, where there is a network, with HF_HOME on a disk that "
            "this machine sees too; or set HF_DATASETS_OFFLINE=0 and HF_HUB_OFFLINE=0",
        ) from first
    return tasks


def broken_task(
    name: str, file: Path | None, error: BaseException, *, data: Any = None
) -> ConfigError:
    """The error for a task whose file, code or data has a fault.

    Args:
        name: The task.
        file: Its YAML file, where it has one.
        error: What was raised.
        data: The task's `dataset_kwargs`, whose files are named.
    """
    files = data.get("data_files") if isinstance(data, Mapping) else None
    got = list(_told(error, None if file is None else file.parent))
    if files and not any("task's code" in line for line in got):
        got.append(f"data files: {files}")
    return ConfigError(
        f"task {name} has a fault",
        where=name if file is None else str(file),
        got="\n    ".join(got),
        fix="mend the task's file, its code or its data, and run `tsugiki check`",
    )


def _told(error: BaseException, folder: Path | None) -> Iterator[str]:
    """An error, its causes, and the line of the task's own code that raised it."""
    said: BaseException | None = error
    while said is not None:
        text = said.args[0] if isinstance(said, KeyError) and said.args else said
        yield f"{type(said).__name__}: {' '.join(str(text).split())}"
        for frame in reversed(traceback.extract_tb(said.__traceback__)):
            if folder is not None and Path(frame.filename).resolve().is_relative_to(
                folder.resolve()
            ):
                yield f"in the task's code, {frame.filename}, line {frame.lineno}: {frame.line}"
                return
        said = said.__cause__


def refuse(faults: Sequence[ConfigError]) -> None:
    """Go no further with tasks that have faults.

    Raises:
        ConfigError: there are some; all are named.
    """
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise ConfigError(
            f"{len(faults)} faults in the tasks",
            got="\n".join(["", *map(str, faults)]),
            fix="mend them; `tsugiki check` lists what is left",
        )


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
