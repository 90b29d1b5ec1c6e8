"""Which of the user's own files documents, prompts and scores depend on: tasks, functions, documents, a template."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

from tsugiki.canonical import digest, digest_file
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.lm_eval_tasks import task_folders, task_sources, used_files
from tsugiki.contracts.data import folder_of

LONGEST_NAME = 200
"""Characters; a longer text in code is no file's name."""


def measured_files(evaluation: Evaluation) -> list[Path]:
    """All of these files, sorted."""
    found = {path for folder in task_folders(evaluation).values() for path in used_files(folder)}
    for one in evaluation.functions:
        found.update(function_files(one.file))
        found.update([folder_of(one.documents)] if one.documents else [])
    found.update(one.file for one in evaluation.files)
    found.update([evaluation.template_file] if evaluation.template_file else [])
    return sorted(found)


def measured_sources(evaluation: Evaluation) -> dict[str, str]:
    """Their digests: of each task that is no task of lm-eval's own, each function and its documents, by name."""
    files = {one.documents for one in evaluation.functions if one.documents is not None}
    files |= {one.task for one in evaluation.files}
    template = evaluation.template_file
    return {
        **task_sources(evaluation),
        **{one.function: function_digest(one.file) for one in evaluation.functions},
        **{name: digest_file(folder_of(name)) for name in sorted(files)},
        **({str(template): digest_file(template)} if template else {}),
    }


def function_digest(file: Path) -> str:
    """Digest of a function's file and of what it depends on."""
    names = {path: os.path.relpath(path, file.parent) for path in function_files(file)}
    return digest([[Path(name).as_posix(), digest_file(path)] for path, name in names.items()])


def function_files(file: Path) -> list[Path]:
    """The files that a function in `file` can depend on, sorted.

    These are the file itself, the modules beside it that it imports, those that these import, and the
    files beside it whose names stand in their code as texts of their own.
    """
    folder, found, waiting = file.parent, set[Path](), [file]
    while waiting:
        path = waiting.pop()
        if path not in found and os.path.isfile(path):  # noqa: PTH113 - where one may not look, no file
            found.add(path)
            waiting += _used_by(path, folder) if path.suffix == ".py" else []
    return sorted(found)


def _used_by(code: Path, folder: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(code.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names):
                modules = [module, *(f"{module}.{alias.name}" for alias in names)]
            case ast.Constant(value=str(text)) if len(text) < LONGEST_NAME:
                yield folder / text
                continue
            case _:
                continue
        for module in modules:
            place = folder.joinpath(*module.split("."))
            yield from (place.with_name(f"{place.name}.py"), place / "__init__.py")
            yield from (above / "__init__.py" for above in place.parents if folder in above.parents)
