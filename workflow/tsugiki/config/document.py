"""Files made for users: the JSON schema, the reference of all keys, and a configuration to start from."""

from __future__ import annotations

import json
import os
import typing
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined

from tsugiki import atomic
from tsugiki.config.run import RunConfig
from tsugiki.contracts.data import NAME_RULE, Name
from tsugiki.errors import ConfigError

FOLDER = Path("config")

TEMPLATE = Path(__file__).with_name("template.yaml")
"""A commented configuration to start from; `{name}` stands for the run's name."""


def write_template(name: str) -> Path:
    """Write config/<name>.yaml, a commented start for one's own models.

    Returns:
        The file.

    Raises:
        ConfigError: the name is not valid, or the file is there already.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise ConfigError(
            "not a valid name for a run",
            expected=NAME_RULE,
            got=repr(name),
            fix="choose another name, such as `my-merge`",
        ) from error
    path = FOLDER / f"{name}.yaml"
    if not atomic.write_new(path, TEMPLATE.read_bytes().replace(b"{name}", name.encode())):
        raise ConfigError(
            "the configuration is there already",
            where=str(path),
            fix="choose another name, or remove the file",
        )
    return path


SCHEMA = Path("workflow/schemas/config.schema.json")
REFERENCE = Path("config/README.md")

HEADER = """# Configuration

A run is one YAML file. `tsugiki init NAME` writes one to start from, `tsugiki check FILE` checks one without
running anything, and `snakemake --profile config/profiles/default --configfile FILE` runs it. `config.yaml` here is
the embedded demo. A small configuration needs four keys:

```yaml
name: my-merge
parents:                      # the models, by names of your own
  base: {hub: mistralai/Mistral-7B-v0.1}
  japanese: {hub: augmxnt/shisa-gamma-7b-v1}
  maths: {path: models/my-maths-model}
stages:                       # what is searched: here one weight per parent and block
  - name: ps
    parents: [japanese, maths]
    base: base
    space: {method: task_arithmetic, genes: {weight: {range: [0.0, 1.5]}}}
    budget: {generations: 50}
evaluation:                   # how candidates are scored
  objectives:
    - {name: maths, task: mgsm_direct_ja, metric: "exact_match,flexible-extract"}
  items: {search: 100, validation: 50, test: 100}
```

All other keys have defaults. Unknown keys are refused. Paths are relative to the folder that `snakemake`
runs in; a leading `~` is your home folder. A key of the type *section* is a mapping, with keys of its own under the
heading of its name. *Genes* are the numbers that a search changes.

This page is generated from the models in `workflow/tsugiki/config/` by `tsugiki schema --write`.
"""


WRITTEN = {SCHEMA: f'"title": "{RunConfig.__name__}"', REFERENCE: "`tsugiki schema --write`"}
"""What is in each file if it was written here."""


def out_of_step() -> Path | None:
    """The first of the generated files, in the working folder, that is not as it would be written."""
    for path, text in _documents().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            return path
    return None


def write_documents() -> None:
    """Write the generated files into the working folder.

    Raises:
        ConfigError: another file has the name of one.
    """
    for path, sign in WRITTEN.items():
        own = path.is_file() and not path.is_symlink() and sign.encode() in path.read_bytes()
        if os.path.lexists(path) and not own:
            raise ConfigError(
                "another file stands where the generated one is to go",
                where=str(path),
                fix="run this in a checkout of tsugiki, or remove the file",
            )
    for path, text in _documents().items():
        atomic.write_bytes(path, text.encode())


def _documents() -> dict[Path, str]:
    return {SCHEMA: json_schema(), REFERENCE: reference()}


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section that a configuration can have, after a title that says where it stands."""
    titles: dict[type[BaseModel], str] = {RunConfig: "(top level)"}

    def visit(section: type[BaseModel], place: str) -> None:
        for name, field in section.model_fields.items():
            found = dict(_models(field.annotation))
            for model, entry in found.items():
                title = f"{place}{name}{entry}"
                if len(found) > 1:
                    first = next(
                        key
                        for key in model.model_fields
                        if key == "kind" or not all(key in other.model_fields for other in found)
                    )
                    (kind, *_) = typing.get_args(model.model_fields[first].annotation) or (None,)
                    title += f", kind: {kind}" if first == "kind" else f", with `{first}`"
                if model in titles:
                    titles[model] += f" and {title}"
                else:
                    titles[model] = title
                    visit(model, f"{place}{name}{entry}.")

    visit(RunConfig, "")
    for model, title in titles.items():
        yield title.replace("<", "\\<"), model  # GitHub hides unknown tags


def _models(annotation: Any, entry: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """The sections that a type allows, each with what stands for an entry of a list or mapping."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, entry
    elif origin is not typing.Literal:
        entry += {list: "[]", dict: ".<name>"}.get(origin, "")
        for inner in arguments:
            yield from _models(inner, entry)


SECTIONS = list(_sections())


def json_schema() -> str:
    """JSON schema of a configuration file, for editors."""
    schema = RunConfig.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def reference() -> str:
    """config/README.md: a table of keys for every section."""
    parts = [HEADER]
    for title, model in SECTIONS:
        about = (model.__doc__ or "").strip().replace("\n", " ").replace("    ", "")
        lines = [f"\n## {title}\n\n{about}\n\n| key | type | default | meaning |"]
        lines.append("|---|---|---|---|")
        for name, field in model.model_fields.items():
            cells = (
                f"`{name}`",
                _type(field.annotation),
                _default(field.get_default(call_default_factory=True)),
                " ".join((field.description or "").split()),
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


def _type(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{item}`" for item in arguments)
    if annotation is type(None):
        return "null"
    if origin is dict:
        return f"mapping to {_type(arguments[1])}"
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if arguments:
        return " or ".join(dict.fromkeys(_type(item) for item in arguments))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", date: "date"}
    return names.get(annotation, str(annotation))


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return ""
    if isinstance(value, BaseModel):
        return "see its section"
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        return ", ".join(str(getattr(item, "name", "")) for item in value)
    if isinstance(value, float):
        return f"`{value:.4g}`"
    return f"`{json.dumps(value)}`"
