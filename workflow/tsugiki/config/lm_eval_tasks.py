"""Names and metrics of lm-eval tasks, read from their YAML files without importing lm-eval.

lm-eval's own index of its 14,000 names takes ten seconds to build; a typing error in a
configuration should be told at once.
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


class _Loader(yaml.SafeLoader):
    """Reads YAML with lm-eval's ``!function`` tags, which are left unresolved."""


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
    found: dict[str, TaskFile] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.yaml")):
            task = _read(path)
            name = task.get("task")
            if isinstance(name, str):
                found[name] = TaskFile(path, metric_keys(task), max_tokens(task))
    return found


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
    """The tasks of a group or tag, those of groups within it included.

    Args:
        name: What may be the name of one.
        folders: Where local ones are, besides those that come with lm-eval.
    """
    paths = [path for folder in folders for path in sorted(folder.rglob("*.yaml"))]
    texts = {path: path.read_bytes() for path in (*paths, *_built_in_files())}
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
    for folder in folders:
        for path in sorted(folder.rglob("*.yaml")):
            try:
                yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
            except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
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
    """The content of a file as it is at a time: a resident process asks for it at every step."""
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}
