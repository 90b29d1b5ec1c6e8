"""Which files of the user's prompts and scores can depend on: of a task's folder, beside a function."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tsugiki.canonical import digest, digest_file
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.lm_eval_tasks import included, local_tasks
from tsugiki.contracts.data import folder_of

CODE = frozenset({".py", ".yaml", ".yml"})
DATA = frozenset({".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow"})
LONGEST_NAME = 200
"""Characters; a longer text in code is no file's name."""
BACKUP = re.compile(r"~$|^#.*#$|\.(bak|orig|rej|swp|swo|tmp)$")


def used_files(folder: Path) -> list[Path]:
    """The files of a task's folder that count, sorted.

    - Code and YAML, and whatever its YAML includes, from outside of the folder too.
    - Data by its suffix: JSON, JSON lines, CSV, TSV, Parquet, Arrow.
    - Any other file only if code or YAML has its name in it, that of a folder above it, or its suffix
      as in `"*.txt"`.

    Hidden files, backups of editors and what Python caches never count. So notes beside a task are no
    part of it, and a document that it reads is.
    """
    folder = Path(os.path.normpath(folder))
    files = [
        path for path in sorted(folder.rglob("*")) if path.is_file() and _visible(path, folder)
    ]
    code = [path for path in files if path.suffix in CODE]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in code)
    found = {path for path in files if path.suffix in CODE | DATA or _named(path, folder, text)}
    return sorted(found.union(*(included(path) for path in code if path.suffix != ".py")))


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


def function_digest(file: Path) -> str:
    """Digest of a function's file and of what it depends on."""
    return _digest(function_files(file), file.parent)


def measured_files(evaluation: Evaluation) -> list[Path]:
    """All files of the user's own that documents, prompts and scores depend on, sorted."""
    found = {path for folder in task_folders(evaluation).values() for path in used_files(folder)}
    for one in evaluation.functions:
        found.update(function_files(one.file))
        found.update([folder_of(one.documents)] if one.documents else [])
    return sorted(found)


def task_folders(evaluation: Evaluation) -> dict[str, Path]:
    """Folder of each measured task that is no task of lm-eval's own, by the task's name."""
    local = local_tasks(evaluation.task_folders)
    measured = {one.task for one in evaluation.measured}
    return {name: local[name].path.parent for name in sorted(measured & local.keys())}


def task_sources(evaluation: Evaluation) -> dict[str, str]:
    """Digest of the files of each of these tasks, of each function and of its documents, by name."""
    folders = task_folders(evaluation)
    functions, files = evaluation.functions, {one.documents or "" for one in evaluation.functions}
    return {
        **{name: source_digest(folder) for name, folder in folders.items()},
        **{one.function: function_digest(one.file) for one in functions},
        **{name: digest_file(folder_of(name)) for name in sorted(files - {""})},
    }


def source_digest(folder: Path) -> str:
    """Digest of a local task's folder: its YAML, code and data."""
    return _digest(used_files(folder), folder)


def _digest(paths: Iterable[Path], folder: Path) -> str:
    return digest(
        [[Path(os.path.relpath(path, folder)).as_posix(), digest_file(path)] for path in paths]
    )


def _visible(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return not (
        any(part.startswith(".") for part in parts)
        or "__pycache__" in parts
        or BACKUP.search(path.name)
    )


def _named(path: Path, folder: Path, text: str) -> bool:
    """Whether `text` has a file's name in it, that of a folder of it, or its suffix as a pattern."""
    parts = path.relative_to(folder).parts
    patterns = [rf"(?<![\w.-]){re.escape(part)}(?![\w-])" for part in parts]
    suffixes = {path.suffix, "".join(path.suffixes)} - {""}
    patterns += [rf"(?<!\w){re.escape(suffix)}(?!\w)" for suffix in suffixes]
    return any(re.search(pattern, text) for pattern in patterns)
