"""What a run was made from: parents, digests, environment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tsugiki.canonical import digest_file
from tsugiki.config.run import RunConfig
from tsugiki.errors import LineageError
from tsugiki.lineage.layout import RunFiles
from tsugiki.lineage.ledger import entries, existing_series
from tsugiki.parents.lock import LockedParent, read_lock


@dataclass(frozen=True)
class Parent:
    """A locked parent, in words."""

    name: str
    source: str
    commit: str | None
    digest: str
    megabytes: float


def parents(files: RunFiles) -> list[Parent]:
    """The locked parents; none if they are not locked yet."""
    if not files.parents.is_file():
        return []
    return [
        Parent(name, _source(locked), locked.commit, locked.merged_digest, locked.size / 1e6)
        for name, locked in read_lock(files.parents).parents.items()
    ]


def digests(files: RunFiles, config: RunConfig) -> dict[str, str]:
    """SHA-256 of the files that pin the run, the last ledger entry of each series included.

    Each entry names the one before, so the last one stands for all.
    """
    once = (files.config, files.parents, files.items, files.environment, files.final)
    pinned = [path for path in once if path.is_file()]
    for series in existing_series(files, config):
        scored = [one for one in entries(files.series(series)) if one.outcomes is not None]
        pinned += [one.files.outcomes for one in scored[-1:]]
    return {path.relative_to(files.root).as_posix(): digest_file(path) for path in pinned}


def environment(files: RunFiles) -> dict[str, str]:
    """environment.json as flat pairs; empty if it is not written yet.

    Raises:
        LineageError: the file is damaged.
    """
    if not files.environment.is_file():
        return {}
    try:
        return _flat("", json.loads(files.environment.read_bytes()))
    except ValueError as error:
        raise LineageError(
            "not a valid environment file", where=str(files.environment), got=str(error)
        ) from error


def _source(locked: LockedParent) -> str:
    base = locked.source.get("adapter_of")
    suffix = f", adapter of {base}" if base else ""
    for key in ("hub", "path", "demo"):
        if key in locked.source:
            return f"{key}: {locked.source[key]}{suffix}"
    return str(locked.source)


def _flat(prefix: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        flat: dict[str, str] = {}
        for key, inner in sorted(value.items()):
            flat |= _flat(f"{prefix}.{key}" if prefix else str(key), inner)
        return flat
    return {prefix: value if isinstance(value, str) else json.dumps(value)}
