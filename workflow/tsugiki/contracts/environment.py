"""Where a run took place: versions of packages, the machine, the commit of tsugiki (environment.json)."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from tsugiki.contracts.layout import RunFiles
from tsugiki.json_files import read_json

OBJECT = TypeAdapter(dict[str, Any])


def read_environment(files: RunFiles) -> dict[str, Any]:
    """The content of environment.json; empty if it is not written yet.

    Raises:
        LineageError: the file is damaged.
    """
    if not files.environment.is_file():
        return {}
    return read_json(files.environment, OBJECT.validate_json, "environment file")


def source_commit(files: RunFiles) -> str | None:
    """Git commit of tsugiki that made the run, with `+` and what was changed in it; None where it is not known.

    Raises:
        LineageError: environment.json is damaged.
    """
    found = read_environment(files).get("source")
    return found if isinstance(found, str) else None
