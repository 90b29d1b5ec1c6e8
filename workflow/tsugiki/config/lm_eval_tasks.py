"""lm-eval's tasks and the user's, read from their YAML files without importing lm-eval.

Names and metrics, because lm-eval's own index of its 14,000 names takes ten seconds to build, and a
typing error in a configuration should be told at once; and the files of a task's folder that its
prompts and scores can depend on.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tsugiki.canonical import digest, digest_file
from tsugiki.config.evaluation import Evaluation, LmEvalObjective

_NAMED = re.compile(
    rb"""^[ \t]*(?:-[ \t]*)?["']?(?:task|group|tag)["']?:[ \t]*(?:["']?(\w[\w.()-]*)|((?:\s*-[^\n]*)+))""",
    re.MULTILINE,
)
"""A name after one of the keys, or the lines of a list of names."""
_LISTED = re.compile(rb"""^\s*-[ \t]*["']?(\w[\w.()-]*)["']?[ \t]*$""", re.MULTILINE)

_ALONE = re.compile(rb"""^["']?task["']?:[ \t]*["']?(\w[\w.()-]*)["']?[ \t]*$""", re.MULTILINE)
"""The name of a task that a file is about."""

_GROUPED = re.compile(rb"""^["']?(?:group|tag)["']?:""", re.MULTILINE)
"""A file that is about a group, or a task that has a tag."""
_MEMBER = rb"""^["']?(?:group|tag)["']?:.*\bNAME\b|^[ \t]*-[ \t]*["']?NAME["']?[ \t]*$"""
"""A line that names a group, or an entry of a list."""

CODE = frozenset({".py", ".yaml", ".yml"})
DATA = frozenset({".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow"})
BACKUP = re.compile(r"~$|^#.*#$|\.(bak|orig|rej|swp|swo|tmp)$")


class _Loader(yaml.SafeLoader):
    """Reads YAML with lm-eval's ``!function`` tags, which are left unresolved."""


UNREADABLE = (OSError, yaml.YAMLError, UnicodeDecodeError)
_Loader.add_constructor("!function", lambda _loader, node: f"!function {node.value}")


@dataclass(frozen=True)
class TaskFile:
    """A task that was found."""

    path: Path
    metrics: tuple[str, ...]
    """Keys of its results, such as `exact_match,none`; empty if they cannot be told here."""
    max_tokens: int | None = None
    """Most tokens of an answer; 0 if the task generates none, None if its file does not say."""


def local_tasks(folders: Iterable[Path]) -> dict[str, TaskFile]:
    """Tasks of the YAML files in `folders`, by name."""
    tasks = {path: _read(path) for path in _files(folders)}
    return {
        task["task"]: TaskFile(path, metric_keys(task), max_tokens(task))
        for path, task in tasks.items()
        if isinstance(task.get("task"), str)
    }


def local_groups(folders: Iterable[Path]) -> dict[str, list[str]]:
    """Groups of the YAML files in `folders` that list their members by name alone, with these."""
    groups = [_read(path) for path in _files(folders)]
    return {
        one["group"]: one["task"]
        for one in groups
        if isinstance(one.get("group"), str)
        and isinstance(one.get("task"), list)
        and all(isinstance(member, str) for member in one["task"])
    }


def included(path: Path) -> set[Path]:
    """The files that a YAML file includes, and those that they include."""
    found: set[Path] = set()
    wanted = [path]
    while wanted:
        one = wanted.pop()
        named = _mapping(one).get("include", [])
        names = [name for name in (named if isinstance(named, list) else [named]) if name]
        paths = {Path(os.path.normpath(one.parent / str(name))) for name in names}
        new = {path for path in paths if path.is_file()} - found
        found |= new
        wanted += new
    return found - {path}


def built_in_names() -> set[str]:
    """Names of the tasks and groups that come with lm-eval."""
    names: set[str] = set()
    for path in _built_in_files():
        for name, listed in _NAMED.findall(path.read_bytes()):
            names.update(one.decode() for one in [name, *_LISTED.findall(listed)] if one)
    return names


def group_members(name: str, folders: Iterable[Path] = ()) -> list[str]:
    """The tasks of a group or tag, those of groups within it included."""
    texts = {path: path.read_bytes() for path in (*_files(folders), *_built_in_files())}
    grouped = {path: text for path, text in texts.items() if _GROUPED.search(text)}
    wanted, found, inner = [name], dict[str, None](), set[str]()
    while wanted:
        one = wanted.pop()
        line = re.compile(_MEMBER.replace(b"NAME", re.escape(one.encode())), re.MULTILINE)
        for path in [path for path, text in grouped.items() if line.search(text)]:
            members = _members(_read(path), one)
            if members:
                inner.add(one)
            wanted += [member for member in members if member not in found]
            found |= dict.fromkeys(members)
    return [member for member in found if member not in inner]


def _members(content: Mapping[str, Any], group: str) -> list[str]:
    """The tasks that a file puts into a group."""
    listed, tags = content.get("task"), content.get("tag")
    if content.get("group") != group and group not in (tags if isinstance(tags, list) else [tags]):
        return []
    parts = listed if isinstance(listed, list) else [listed]
    names = [part.get("task") if isinstance(part, Mapping) else part for part in parts]
    return [part for part in names if isinstance(part, str) and part != group]


def broken_files(folders: Iterable[Path]) -> list[str]:
    """Local YAML files that cannot be read, each with the reason."""
    found = []
    for path in _files(folders):
        try:
            _load(path)
        except UNREADABLE as error:
            found.append(f"{path} cannot be read: {' '.join(str(error).split())}")
    return found


def built_in_tasks(names: Iterable[str]) -> dict[str, TaskFile]:
    """Those of the tasks `names` that come with lm-eval and have a file of their own."""
    wanted = set(names)
    found: dict[str, TaskFile] = {}
    for path in _built_in_files() if wanted else ():
        for name in wanted.intersection(one.decode() for one in _ALONE.findall(path.read_bytes())):
            found[name] = TaskFile(path, metric_keys(_read(path)))
    return found


def metric_keys(task: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys under which lm-eval reports a task's metrics: every metric with every filter."""
    metrics = [
        entry["metric"]
        for entry in task.get("metric_list") or []
        if isinstance(entry, Mapping) and isinstance(entry.get("metric"), str)
    ]
    filters = [entry["name"] for entry in task.get("filter_list") or [] if "name" in entry]
    return tuple(
        f"{metric.removeprefix('!function ').rpartition('.')[2]},{name}"
        for metric in metrics
        for name in filters or ["none"]
    )


def max_tokens(task: Mapping[str, Any]) -> int | None:
    """Most tokens of an answer; 0 if the task generates none, None if it does not say."""
    if task.get("output_type", "generate_until") != "generate_until":
        return 0
    given = task.get("generation_kwargs")
    found = given.get("max_gen_toks") if isinstance(given, Mapping) else None
    return found if isinstance(found, int) else None


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
    paths = sorted(folder.rglob("*"))
    files = [path for path in paths if path.is_file() and _is_visible(path, folder)]
    code = [path for path in files if path.suffix in CODE]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in code)
    found = {path for path in files if path.suffix in CODE | DATA or _named(path, folder, text)}
    return sorted(found.union(*(included(path) for path in code if path.suffix != ".py")))


def measured_tasks(evaluation: Evaluation) -> set[str]:
    """Names of the tasks that are measured, those of groups in place of the groups."""
    groups = {
        one.task
        for one in evaluation.measured
        if isinstance(one, LmEvalObjective) and one.aggregate is not None
    }
    members = (
        member for group in groups for member in group_members(group, evaluation.task_folders)
    )
    return {one.task for one in evaluation.measured} - groups | set(members)


def task_folders(evaluation: Evaluation) -> dict[str, Path]:
    """Folder of each measured task that is no task of lm-eval's own, by the task's name."""
    local = local_tasks(evaluation.task_folders)
    measured = measured_tasks(evaluation)
    return {name: local[name].path.parent for name in sorted(measured & local.keys())}


def task_sources(evaluation: Evaluation) -> dict[str, str]:
    """Digest of the files of each of these tasks, by its name."""
    return {name: source_digest(folder) for name, folder in task_folders(evaluation).items()}


def source_digest(folder: Path) -> str:
    """Digest of a local task's folder: its YAML, code and data."""
    names = {path: Path(os.path.relpath(path, folder)).as_posix() for path in used_files(folder)}
    return digest([[name, digest_file(path)] for path, name in names.items()])


def _is_visible(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    hidden = "__pycache__" in parts or any(part.startswith(".") for part in parts)
    return not hidden and BACKUP.search(path.name) is None


def _named(path: Path, folder: Path, text: str) -> bool:
    """Whether `text` has a file's name in it, that of a folder of it, or its suffix as a pattern."""
    parts = path.relative_to(folder).parts
    patterns = [rf"(?<![\w.-]){re.escape(part)}(?![\w-])" for part in parts]
    suffixes = {path.suffix, "".join(path.suffixes)} - {""}
    patterns += [rf"(?<!\w){re.escape(suffix)}(?!\w)" for suffix in suffixes]
    return any(re.search(pattern, text) for pattern in patterns)


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.rglob("*.yaml"))


def _built_in_files() -> Iterator[Path]:
    spec = importlib.util.find_spec("lm_eval")
    if spec is not None and spec.origin is not None:
        yield from (Path(spec.origin).parent / "tasks").rglob("*.y*ml")


def _read(path: Path, *above: Path) -> dict[str, Any]:
    """A task with what its file includes; `above` are the files that include it."""
    value = _mapping(path)
    include = value.pop("include", None)
    if isinstance(include, str) and (other := path.parent / include).resolve() not in above:
        return {**_read(other, path.resolve(), *above), **value}
    return value


def _mapping(path: Path) -> dict[str, Any]:
    """The content of a YAML file, which may be no task's; empty if it is no mapping."""
    try:
        found = path.stat()
    except OSError:
        return {}
    return dict(_parsed(path, found.st_mtime_ns, found.st_size))


@lru_cache(maxsize=1024)
def _parsed(path: Path, _modified: int, _size: int) -> Mapping[str, Any]:
    """What is in a file, as it is at a time: a resident process asks for it at every step."""
    try:
        value = _load(path)
    except UNREADABLE:
        return {}
    return value if isinstance(value, dict) else {}


def _load(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
