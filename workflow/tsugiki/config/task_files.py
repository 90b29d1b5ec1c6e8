"""Which files of a task's folder its prompts and scores can depend on."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tsugiki.canonical import digest, digest_file
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.lm_eval_tasks import included, local_tasks

CODE = frozenset({".py", ".yaml", ".yml"})
DATA = frozenset({".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow"})
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


def task_folders(evaluation: Evaluation) -> dict[str, Path]:
    """Folder of each measured task that is no task of lm-eval's own, by the task's name."""
    local = local_tasks(evaluation.task_folders)
    measured = {one.task for one in (*evaluation.objectives, *evaluation.monitors)}
    return {name: local[name].path.parent for name in sorted(measured & local.keys())}


def task_sources(evaluation: Evaluation) -> dict[str, str]:
    """Digest of the files of each of these tasks, by its name."""
    return {name: source_digest(folder) for name, folder in task_folders(evaluation).items()}


def source_digest(folder: Path) -> str:
    """Digest of a local task's folder: its YAML, code and data."""
    return digest(
        [
            [Path(os.path.relpath(path, folder)).as_posix(), digest_file(path)]
            for path in used_files(folder)
        ]
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
