"""Check what is measured: tasks and their metrics, functions, files of documents."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from tsugiki.config.evaluation import TOKENS, Evaluation, FunctionObjective, LmEvalObjective
from tsugiki.config.file_objectives import FileObjective
from tsugiki.config.lm_eval_tasks import (
    TaskFile,
    broken_files,
    built_in_names,
    built_in_tasks,
    group_members,
    local_tasks,
)
from tsugiki.config.load import nearest
from tsugiki.contracts.data import folder_of


def task_faults(evaluation: Evaluation) -> Iterator[str]:
    """Faults of what is measured, and of where its documents come from."""
    for path in evaluation.task_paths:
        if not folder_of(path).is_dir():
            yield f"`evaluation.task_paths`: there is no folder {path!r}"
    folders = [folder for folder in evaluation.task_folders if folder.is_dir()]
    known = local_tasks(folders)
    named = {one.task for one in evaluation.measured if isinstance(one, LmEvalObjective)}
    known |= built_in_tasks(named - known.keys())
    names = {*known, *(built_in_names() if named - known.keys() else ())}
    yield from _sources(evaluation, named)
    used: set[str] = set()
    for section in ("objectives", "monitors"):
        for index, objective in enumerate(getattr(evaluation, section)):
            key = f"evaluation.{section}[{index}]"
            if objective.name in used:
                yield f"`{key}.name`: {objective.name!r} is used twice"
            used.add(objective.name)
            if isinstance(objective, LmEvalObjective):
                yield from _task(objective, key, known, names, folders)
            elif isinstance(objective, FunctionObjective):
                yield from _function(objective, key)
            elif not objective.file.is_file():
                yield f"`{key}`: there is no file {objective.task!r}"


def _task(
    objective: LmEvalObjective,
    key: str,
    known: Mapping[str, TaskFile],
    names: AbstractSet[str],
    folders: Sequence[Path],
) -> Iterator[str]:
    """Faults of an objective that names an lm-eval task.

    `key` is where it stands; `known` are tasks whose files were found, `names` those of all tasks and
    groups, as far as they were looked for.
    """
    task = known.get(objective.task)
    members = [] if task is not None else group_members(objective.task, folders)
    if objective.aggregate is not None:
        yield from _group(objective, key, members, folders)
    elif members:
        more = f" and {len(members) - 20} more" if len(members) > 20 else ""
        yield (
            f"`{key}.task`: {objective.task!r} is a group of tasks; name one of them: "
            f"{', '.join(members[:20])}{more}; or say how their values become one, such as `aggregate: mean`"
        )
    elif objective.task not in names:
        hints = [nearest(objective.task, names), *broken_files(folders)]
        yield f"`{key}.task`: unknown task {objective.task!r}; {'; '.join(hints)}"
    elif task is not None:
        yield from _metric(objective, key, objective.task, task)


def _group(
    objective: LmEvalObjective, key: str, members: Sequence[str], folders: Sequence[Path]
) -> Iterator[str]:
    """Faults of a group of tasks."""
    if not members:
        yield (
            f"`{key}.task`: {objective.task!r} is no group, or one without tasks, and has nothing to `aggregate`; "
            "remove that key, or name a group with tasks"
        )
    known = local_tasks(folders)
    known |= built_in_tasks(set(members) - known.keys())
    for member in members:
        if member in known:
            yield from _metric(objective, key, member, known[member])


def _metric(objective: LmEvalObjective, key: str, name: str, task: TaskFile) -> Iterator[str]:
    """A metric that a task does not have."""
    if objective.counts_tokens:
        if task.max_tokens == 0:
            yield (
                f"`{key}.metric`: task {name} generates no answers that could be counted in tokens; take "
                "one of its own metrics"
            )
    elif task.metrics and objective.metric not in task.metrics:
        yield (
            f"`{key}.metric`: task {name} has no metric {objective.metric!r}; "
            f"{nearest(objective.metric, [*task.metrics, TOKENS])}"
        )


def _function(objective: FunctionObjective, key: str) -> Iterator[str]:
    """Faults of an objective that names a function, as far as they show without running its code."""
    if objective.documents is not None and not folder_of(objective.documents).is_file():
        yield f"`{key}.documents`: there is no file {objective.documents!r}"
    if not objective.file.is_file():
        yield f"`{key}.function`: there is no file {str(objective.file)!r}"
        return
    try:
        tree = ast.parse(objective.file.read_bytes())
    except (SyntaxError, ValueError) as error:
        yield f"`{key}.function`: {str(objective.file)!r} is no Python: {error}"
        return
    names = {
        name
        for node in ast.walk(tree)
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            else [alias.asname or alias.name for alias in node.names]
            if isinstance(node, ast.Import | ast.ImportFrom)
            else [node.id]
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            else []
        )
    }
    if objective.function_name not in names:
        yield (
            f"`{key}.function`: {str(objective.file)!r} has no function "
            f"{objective.function_name!r}; {nearest(objective.function_name, names)}"
        )
    if objective.documents is None and "documents" not in names:
        yield (
            f"`{key}`: {str(objective.file)!r} has no function `documents`; write one, or name a file "
            "of documents as `documents`"
        )


def _sources(evaluation: Evaluation, tasks: set[str]) -> Iterator[str]:
    """Faults of the names of what documents come from; `tasks` are those of lm-eval's."""
    own: list[FunctionObjective | FileObjective] = [*evaluation.functions, *evaluation.files]
    kinds = {one.task: type(one) for one in own}
    for name in sorted({one.task for one in own if type(one) is not kinds[one.task]}):
        yield (
            f"`evaluation.objectives`: objectives of several kinds have the documents {name!r}; make a copy "
            "of the file for each kind"
        )
    files = set(kinds)
    for name in sorted(tasks & files):
        yield f"`evaluation.objectives`: {name!r} is both a task and a file of documents; rename the file"
    for name in sorted(evaluation.repeats.keys() - tasks):
        near = nearest(name, tasks)
        yield f"`evaluation.repeats`: no objective names the lm-eval task {name!r}; {near}"
    for name in sorted(evaluation.document_keys.keys() - tasks - files):
        near = nearest(name, tasks | files)
        yield f"`evaluation.document_keys`: no objective has the task {name!r}; {near}"
