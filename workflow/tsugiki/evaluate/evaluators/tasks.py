"""lm-eval's tasks: found in a small index, loaded, and refused where their scores could not be trusted."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.tasks import TaskManager

from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.config.lm_eval_tasks import TaskFile, built_in_tasks, local_groups
from tsugiki.contracts.document_sets import Goal
from tsugiki.errors import ConfigError, InfrastructureError
from tsugiki.evaluate.aggregation import aggregation_of, plain, restored
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.offline import is_absent


def load_tasks(
    names: list[str], folders: Sequence[str], local: Mapping[str, TaskFile]
) -> dict[str, dict[str, Any]]:
    """The tasks of each name, with their documents: one of that name, or those of a group.

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
    """The error for documents that are not on this machine.

    Args:
        errors: What was raised, by task.
    """
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


TRIED = 3
"""Documents whose parts of a metric are made up, to see whether they can be recorded."""


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


def refuse_unaggregated(
    name: str, task: Any, objective: LmEvalObjective, file: Path | None = None
) -> None:
    """What a task makes of its documents must follow from what can be recorded of each.

    An answer is made up for a few documents; where the task's code cannot take it, scoring will
    tell. What it reports must be plain data, and aggregate to one number.
    """
    metric = objective.metric.partition(",")[0]
    listed = task.aggregation()
    function = listed.get(metric)
    if metric in listed and (function is None or getattr(function, "__name__", "") == "bypass_agg"):
        said = [
            entry.get("aggregation")
            for entry in task.config.metric_list or []
            if entry["metric"] == metric
        ]
        raise _not_aggregated(
            name, file, objective, f"lm-eval has no aggregation of that name: {said}"
        )
    parts = _made_up_parts(task, metric)
    aggregation = aggregation_of(task, objective.metric)
    if aggregation is None:
        if wrong := [part for part in parts if isinstance(part, str | list | tuple | dict)]:
            raise _not_aggregated(name, file, objective, f"there is no mean of {wrong[0]!r}")
        return
    try:
        recorded = [restored(part) for part in parts]
    except TypeError as error:
        raise _not_aggregated(
            name, file, objective, f"its documents cannot be recorded: {error}"
        ) from error
    values = [_aggregated(aggregation.function, of) for of in (parts, recorded)]
    if values[0] is not None and values[0] != values[1]:
        raise _not_aggregated(
            name, file, objective, "what is recorded of its documents aggregates to something else"
        )
    if values[0] is not None and not isinstance(values[0], int | float):
        raise _not_aggregated(name, file, objective, f"it aggregates to {values[0]!r}")


def refuse_no_answers(name: str, task: Any, objectives: Sequence[LmEvalObjective]) -> None:
    """Only answers that are generated have a length.

    Args:
        name: The task.
        task: lm-eval's.
        objectives: Those that it is measured for.
    """
    counting = [one for one in objectives if one.counts_tokens]
    if counting and task.OUTPUT_TYPE != "generate_until":
        raise ConfigError(
            f"task {name} generates no answers that could be counted in tokens",
            where=f"objective {counting[0].name}",
            expected="a task with `output_type: generate_until`",
            got=f"output_type: {task.OUTPUT_TYPE}",
            fix="take another task, or one of this task's own metrics",
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


def _made_up_parts(task: Any, metric: str) -> list[Any]:
    """What a few documents contribute with an answer that says nothing; none where none can be had."""
    try:
        documents = task.eval_docs
        found = [
            task.process_results(document, _made_up_answers(task, document)).get(metric)
            for document in (documents[index] for index in range(min(TRIED, len(documents))))
        ]
    except Exception:  # noqa: BLE001 - a task's code may want more than this
        return []
    return [part for part in found if part is not None]


def _made_up_answers(task: Any, document: Any) -> list[Any]:
    match task.OUTPUT_TYPE:
        case "multiple_choice":
            return [(-1.0 - place, False) for place, _ in enumerate(task.doc_to_choice(document))]
        case "loglikelihood":
            return [(-1.0, False)]
        case "loglikelihood_rolling":
            return [-1.0]
        case _:
            return [""]


def _aggregated(function: Any, parts: Sequence[Any]) -> Any:
    """None where so few documents, or answers like these, cannot be aggregated."""
    try:
        value = plain(function(list(parts))) if parts else None
    except Exception:  # noqa: BLE001 - a task's own code
        return None
    return None if isinstance(value, float) and math.isnan(value) else value


def _not_aggregated(
    name: str, file: Path | None, objective: LmEvalObjective, got: str
) -> ConfigError:
    return ConfigError(
        f"the metric `{objective.metric}` of task {name} has no value over a set of documents",
        where=f"objective {objective.name}" + (f", {file}" if file else ""),
        expected="numbers, or plain data that the task aggregates to a number",
        got=got,
        fix="use another metric, or a copy of the task in `task_paths` with another aggregation",
    )
