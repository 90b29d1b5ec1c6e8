"""Models that are folders of components, each with settings, and perhaps weights, in a folder of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tsugiki.errors import ParentError
from tsugiki.models.kinds.kind import Layout
from tsugiki.models.sources import ParentFiles

LIBRARY = "_library"
CLASS = "_class_name"


@dataclass(frozen=True)
class ComponentFiles:
    """The files of one component, as if they were a model's."""

    model: ParentFiles
    component: str

    @property
    def where(self) -> str:
        """The folder, or the place in a repository."""
        return f"{self.model.where}, {self.component}"

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file, by name."""
        start = f"{self.component}/"
        return {
            name.removeprefix(start): size
            for name, size in self.model.sizes.items()
            if name.startswith(start)
        }

    def read(self, name: str) -> bytes:
        """A small file."""
        return self.model.read(f"{self.component}/{name}")

    def start(self, name: str, count: int) -> bytes:
        """The first `count` bytes of a file, or all of it if it is shorter."""
        return self.model.start(f"{self.component}/{name}", count)

    def layout(self, of_model: Layout) -> Layout | None:
        """How it is laid out: by its weights if it has any, else by its settings; None if by neither."""
        fitting = [part for part in of_model.parts if part.config in self.sizes]
        by_weights = (part for part in fitting if self.has_weights(part))
        # what need not have weights is known by settings of its own
        without = (part for part in fitting if not part.weights)
        return next(by_weights, next(without, fitting[0] if fitting else None))

    def has_weights(self, layout: Layout) -> bool:
        """Whether its weights are there under the names of a layout, in one file or several."""
        return bool(layout.weights) and bool({layout.weights, layout.index} & self.sizes.keys())


def listed_components(files: ParentFiles, layout: Layout) -> dict[str, tuple[str, str]]:
    """Library and class of each component that a model's file of settings lists; none if it is broken."""
    try:
        content = json.loads(files.read(layout.config))
    except ValueError:
        return {}  # told with the configuration
    entries = content.items() if isinstance(content, dict) else ()
    return {
        name: (entry[0], entry[1])
        for name, entry in entries
        if isinstance(entry, list)
        and len(entry) == 2
        and all(isinstance(one, str) for one in entry)
    }


def read_components(files: ParentFiles, layout: Layout) -> dict[str, dict[str, Any]]:
    """Settings of each component, with its library and class.

    Raises:
        ParentError: a component that is listed is not there.
        ValueError: a file of settings is no JSON object.
    """
    found, missing = _read(files, layout)
    if missing:
        files_of_settings = dict.fromkeys(part.config for part in layout.parts)
        raise ParentError(
            "components that a model lists are missing",
            where=files.where,
            expected="; ".join(
                f"{name} ({made_by}): a folder with one of {', '.join(files_of_settings)}"
                for name, made_by in missing.items()
            ),
            got="folders " + (", ".join(_folders(files)) or "none"),
            fix=f"fetch the whole repository again, or take what it is to do without out of {layout.config}",
        )
    return found


def present_components(files: ParentFiles, layout: Layout) -> dict[str, dict[str, Any]]:
    """What `read_components` says of those that are there."""
    return _read(files, layout)[0]


def _read(files: ParentFiles, layout: Layout) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Settings of the components that are there, and classes of the others, by name."""
    found: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    for name, (library, made_by) in listed_components(files, layout).items():
        part = ComponentFiles(files, name)
        chosen = part.layout(layout)
        if chosen is None:
            missing[name] = made_by
            continue
        content = json.loads(part.read(chosen.config))
        if not isinstance(content, dict):
            raise ValueError(f"{name}/{chosen.config} is not a JSON object")  # noqa: TRY004 - of the file
        found[name] = content | {LIBRARY: library, CLASS: made_by}
    return found, missing


def weight_layouts(files: ParentFiles, layout: Layout) -> dict[str, Layout]:
    """How files of weights are called, by component; by an empty name where a model has none."""
    if not layout.parts:
        return {"": layout}
    chosen = {
        name: ComponentFiles(files, name).layout(layout)
        for name in listed_components(files, layout)
    }
    return {name: one for name, one in chosen.items() if one is not None and one.weights}


def in_component(stored: str, component: str) -> bool:
    """Whether a tensor is one of a component's; any is, where a model has none."""
    return not component or stored.startswith(f"{component}.")


def _folders(files: ParentFiles) -> list[str]:
    return sorted({name.partition("/")[0] for name in files.sizes if "/" in name})
