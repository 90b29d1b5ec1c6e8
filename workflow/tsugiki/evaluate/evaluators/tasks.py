"""lm-eval's tasks: found in a small index, and loaded."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.tasks import TaskManager

from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.config.lm_eval_tasks import TaskFile, built_in_tasks, local_groups
from tsugiki.contracts.document_sets import Goal
from tsugiki.errors import ConfigError, InfrastructureError
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.offline import is_absent


def load_tasks(
    names: list[str], folders: Sequence[str], local: Mapping[str, TaskFile]
) -> dict[str, dict[str, Any]]:
    """The tasks of each name, with their documents: one of that name, or those of a group.

    Raises:
        ConfigError: a fault in the file, code or data of some; each one is named.
        InfrastructureError: documents are not on this machine, and the network does not give them.
    """
    index = task_index(names, folders, local)
    tasks: dict[str, Any] = {}
    found: dict[str, dict[str, Any]] = {}
    faults: list[ConfigError] = []
    absent: dict[str, Exception] = {}
    for name in names:
        try:
            of_name = index.load([name])["tasks"]
            # a task of several names is one: it renders its prompts once
            found[name] = {one: tasks.setdefault(one, task) for one, task in of_name.items()}
        except ConfigError as error:  # a task's code that says itself what it lacks
            faults.append(error)
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
        raise absent_documents(absent)
    return found


def absent_documents(errors: Mapping[str, Exception]) -> InfrastructureError:
    """The error for documents that are not on this machine."""
    first = next(iter(errors.values()))
    error = InfrastructureError(
        "the documents of a task are not on this machine, and it may not use the network, "
        "or gets no answer",
        where=", ".join(errors),
        got=f"{type(first).__name__}: {first}",
        fix="run the step `items` first, where there is a network, with HF_HOME on a disk that "
        "this machine sees too; or set HF_DATASETS_OFFLINE=0 and HF_HUB_OFFLINE=0",
    )
    error.__cause__ = first
    return error


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


def data_set(task: Any) -> tuple[str | None, str | None]:
    """The data set that a task's documents are of, and which part of it; None where it names none."""
    config = task.config
    if config.custom_dataset is not None or not config.dataset_path:
        return None, None
    files = (config.dataset_kwargs or {}).get("data_files")
    split = config.test_split or config.validation_split or config.training_split
    # several data sets are read by one reader of files
    family = config.dataset_path if files is None else f"{config.dataset_path}: {files}"
    return str(family), f"{family}, {config.dataset_name}, {split}"


def task_index(
    names: Sequence[str], folders: Sequence[str], local: Mapping[str, TaskFile]
) -> TaskManager:
    """lm-eval's index, of no more folders than the tasks `names` need.

    The index of all tasks that come with lm-eval takes ten seconds.
    """
    groups = local_groups(map(Path, folders))
    needed = [member for name in names for member in groups.get(name, [name])]
    built_in = built_in_tasks(name for name in needed if name not in local)
    theirs = sorted({str(task.path.parent) for task in built_in.values()})
    return TaskManager(
        include_path=[*folders, *theirs],
        include_defaults=not all(name in local or name in built_in for name in needed),
    )


def stated_goal(task: Any, objective: LmEvalObjective) -> Goal | None:
    """Which way a metric is better, as the task states it; None if it does not. A short answer is better."""
    if objective.counts_tokens:
        return "minimize"
    higher = task.higher_is_better().get(objective.metric.partition(",")[0])
    return None if higher is None else "maximize" if higher else "minimize"


def note_goal(name: str, stated: Goal | None, objective: LmEvalObjective) -> str | None:
    """Says which way an objective goes, where that is not up: its task says so, nothing, or otherwise."""
    if objective.counts_tokens:
        return None
    if objective.goal is None and stated == "maximize":
        return None
    if objective.goal is None:
        source = "the task says nothing" if stated is None else f"as task {name} states it"
        return f"objective {objective.name}: goal {stated or 'maximize'}, {source}"
    if stated not in (None, objective.goal):
        return (
            f"objective {objective.name}: goal {objective.goal}, although task {name} states that "
            f"{objective.metric} is to be {stated}d"
        )
    return None
