"""Read and write a configuration, say everything that is wrong with it at once, and compare two."""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from tsugiki.config.run import RunConfig
from tsugiki.contracts.data import NAME_PATTERN, NAME_RULE
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import ConfigError
from tsugiki.yaml_file import read_yaml

SPREADS_WORK = frozenset(f"evaluation.{key}" for key in ("jobs", "threads", "storage", "resident"))
"""Keys that say how work is done, and not what comes of it; but for `threads` on a processor, which
are in the identity of each score."""


def changed_keys(before: RunConfig, after: RunConfig) -> dict[str, tuple[str, str]]:
    """Both values, as JSON, of each key that results may depend on and that differs.

    A key is written as in `stages[ps].budget.generations`, with entries of lists by their names.
    """
    old, new = (_flat("", one.model_dump(mode="json")) for one in (before, after))
    return {
        key: (old.get(key, "absent"), new.get(key, "absent"))
        for key in {**old, **new}
        if old.get(key) != new.get(key)
        and key not in SPREADS_WORK
        and key.partition(".")[0] != "publication"  # said of a finished run, too
    }


def _flat(key: str, value: Any) -> dict[str, str]:
    """Every value by its key; entries of a list that have names, by these."""
    if isinstance(value, Mapping):
        inner = {f"{key}.{name}" if key else name: one for name, one in value.items()}
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        inner = {f"{key}[{one.get('name', place)}]": one for place, one in enumerate(value)}
    else:
        return {key: json.dumps(value, ensure_ascii=False)}
    return {name: text for place, one in inner.items() for name, text in _flat(place, one).items()}


RETIRED = {"evaluation": {"cuda_graphs"}}
"""Keys by section that earlier versions had, and wrote into the locks of their runs: they are passed
over, since what they chose between is one thing today."""


BEFORE: dict[str, Any] = {"rivals": []}
"""What keys meant to the versions that did not have them, and so did not write them into locks."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint such as ``nearest valid names: `ties` ``, or the whole list if nothing is near."""
    names = sorted(valid)
    found = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if found:
        return "nearest valid names: " + ", ".join(f"`{item}`" for item in found)
    return "valid names: " + ", ".join(f"`{item}`" for item in names[:40])


def read_config(path: Path) -> RunConfig:
    """Read one YAML file into a configuration.

    What a run has recorded stands for what it did, and not for defaults that came later.

    Raises:
        ConfigError: the file is missing, is not YAML, has a key twice, or does not fit the models.
    """
    value = read_yaml(path)
    if path == RunFiles(path.parent).config and isinstance(value, Mapping):
        value = {**BEFORE, **value}
    return parse_config(value, where=str(path))


def parse_config(value: Any, *, where: str) -> RunConfig:
    """Turn a mapping, as read from YAML, into a configuration.

    Raises:
        ConfigError: naming every key that does not fit, with the nearest valid name.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(
            "the configuration is not a mapping",
            where=where,
            got=type(value).__name__,
            fix="start from config/config.yaml",
        )
    try:
        return RunConfig.model_validate(_without_retired(value))
    except ValidationError as error:
        raise faults_in(_describe_all(error.errors()), where) from error


def faults_in(faults: Sequence[str], where: str) -> ConfigError:
    """The error for a configuration with faults, a line each."""
    return ConfigError(
        f"{len(faults)} fault{'s' * (len(faults) != 1)} in the configuration",
        where=where,
        got="\n    - " + "\n    - ".join(faults),
        fix="see config/README.md for every key",
    )


def _without_retired(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {key: one for key, one in section.items() if key not in RETIRED[name]}
        if name in RETIRED and isinstance(section, Mapping)
        else section
        for name, section in value.items()
    }


def dump_config(config: RunConfig) -> bytes:
    """YAML of a configuration with every default filled in; equal bytes for equal values."""
    return yaml.safe_dump(
        config.model_dump(mode="json"), sort_keys=True, allow_unicode=True, width=100
    ).encode()


def _describe_all(faults: Iterable[Any]) -> list[str]:
    """A line for every key; what each member of a union has to say about it stands in one line."""
    lines: dict[str, list[str]] = {}
    for fault in faults:
        key, message = _describe(fault)
        lines.setdefault(key, []).append(message)
    return [f"`{key}`: {'; or '.join(dict.fromkeys(of_key))}" for key, of_key in lines.items()]


def _describe(fault: Any) -> tuple[str, str]:
    location = tuple(fault["loc"])
    kind, context = fault["type"], fault.get("ctx", {})
    unknown = kind == "extra_forbidden"
    path, sections = _walk(location[:-1] if unknown else location)
    if unknown:
        valid = {key for section in sections for key in section.model_fields}
        name = str(location[-1])
        return f"{path}.{name}".lstrip("."), f"unknown key; {nearest(name, valid)}"
    if kind == "union_tag_invalid":
        tag, tags = context["tag"], context["expected_tags"].replace("'", "").split(", ")
        return f"{path}.kind", f"there is no {tag!r}; {nearest(tag, tags)}"
    if kind == "string_pattern_mismatch" and context["pattern"] == NAME_PATTERN:
        return path, f"not a valid name: {NAME_RULE} (got {fault['input']!r})"
    if kind in ("missing", "union_tag_not_found"):
        return path + ".kind" * (kind != "missing"), "required, but absent"
    got = fault.get("input")
    shown = f" (got {got!r})" if isinstance(got, str | int | float | bool) else ""
    message = fault["msg"].removeprefix("Value error, ")
    return path, f"{message[0].lower()}{message[1:]}{shown}"


def _walk(location: tuple[str | int, ...]) -> tuple[str, list[type[BaseModel]]]:
    """The keys a user wrote to get to `location`, as in `a.b[0].c`, and the sections there.

    Pydantic puts the tag or type of a union's member into the location, and `[key]` after a
    mapping's key; users never wrote those.
    """
    current: list[Any] = [RunConfig]
    path = ""
    for part in location:
        if part == "[key]":
            continue
        if len(current) > 1:
            chosen = [item for item in current if _has_tag(item, str(part))]
            chosen = chosen or [item for item in current if _has_label(item, str(part))]
            if chosen:
                current = chosen
                continue
        in_list = any(typing.get_origin(item) in (list, tuple, set) for item in current)
        path += f"[{part}]" if in_list else f".{part}" if path else str(part)
        current = [found for item in current for found in _step(item, str(part))]
    sections = [item for item in current if isinstance(item, type) and issubclass(item, BaseModel)]
    return path, sections


def _has_label(annotation: Any, part: str) -> bool:
    """Whether `part` is how pydantic calls a member without a tag, such as ``dict[str,str]``."""
    kind = typing.get_origin(annotation) or annotation
    name = "literal" if kind is typing.Literal else getattr(kind, "__name__", "")
    return part == name or part.startswith(f"{name}[")


def _has_tag(annotation: Any, tag: str) -> bool:
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return False
    kind = annotation.model_fields.get("kind")
    if kind is not None:
        return tag in typing.get_args(kind.annotation)
    return tag in annotation.model_fields


def _step(annotation: Any, part: str) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(part)
        return _members(field.annotation) if field is not None else []
    if typing.get_origin(annotation) in (list, tuple, set, dict):
        of_mapping = typing.get_origin(annotation) is dict
        return _members(typing.get_args(annotation)[of_mapping])
    return []


def _members(annotation: Any) -> list[Any]:
    """The annotation, or the members of a union, without metadata."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [item for part in typing.get_args(annotation) for item in _members(part)]
    return [annotation]
