"""Copies of what a run recorded that go along with its model, without what is private to a machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tsugiki.canonical import digest_bytes, pretty_json
from tsugiki.config.licences import ADVICE, Verdict, described
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.locks import read_lock
from tsugiki.errors import LineageError
from tsugiki.publish.sources import Source, Sources

FOLDER = "lineage"
HERE = frozenset({"host", "results", "tracking"})
"""Keys of a configuration and an environment that say where a run was, and nothing of its results;
`tracking` may hold the password of a database."""


def lineage_files(
    files: RunFiles, config: RunConfig, found: Sources, verdict: Verdict
) -> dict[str, bytes]:
    """Content of each file by its path: configuration, locks, documents, final table, recipes, licences.

    Paths of this machine are reduced to their last name, and what `HERE` names is left out.
    """
    environment = json.loads(files.environment.read_bytes()) if files.environment.is_file() else {}
    configuration = _public(config.model_dump(mode="json"))
    content = {
        "config.yaml": yaml.safe_dump(configuration, allow_unicode=True, width=100).encode(),
        "parents.lock.json": pretty_json(_public(json.loads(read_lock(files.parents).to_json()))),
        "items.json": files.items.read_bytes(),
        "final.json": files.final.read_bytes(),
        "environment.json": pretty_json(_public(environment)),
        "licences.json": pretty_json(_licences(found.models, verdict)),
        **{f"recipe-{stage}.json": one.to_json() for stage, one in found.stages.items()},
    }
    return {f"{FOLDER}/{name}": one for name, one in content.items()}


def licence_files(sources: tuple[Source, ...]) -> dict[str, bytes]:
    """Content of the sources' own licence files and notices by path, of those that can be read now.

    Raises:
        LineageError: one is not the file that was locked.
    """
    found: dict[str, bytes] = {}
    for one in sources:
        for name, digest in (one.card.files if one.card is not None else {}).items():
            if one.files is None or name not in one.files.sizes:
                continue
            content = one.files.read(name)
            if digest_bytes(content) != digest:
                raise LineageError(
                    f"a licence file of parent `{one.name}` is not the one that was locked",
                    where=f"{one.files.where}, {name}",
                    expected=digest,
                    got=digest_bytes(content),
                    fix=f"restore it, or lock it as it is with `tsugiki parents --update {one.name}`",
                )
            found[f"licences/{one.name}/{name}"] = content
    return found


def _licences(sources: tuple[Source, ...], verdict: Verdict) -> dict[str, Any]:
    return {
        "note": f"made by tsugiki: {ADVICE}",
        "license": verdict.license,
        "license_name": verdict.name,
        "license_link": verdict.link,
        "reason": verdict.reason,
        "stated_by_the_configuration": verdict.stated,
        "parents": {
            one.name: {
                "licence": described(one.card),
                "card": None if one.card is None else one.card.model_dump(mode="json"),
                "locked_with_the_run": one.locked.card is not None,
            }
            for one in sources
        },
    }


def _public(value: Any) -> Any:
    """The value without keys in `HERE`, and without the folders of absolute paths."""
    if isinstance(value, Mapping):
        return {key: _public(one) for key, one in value.items() if key not in HERE}
    if isinstance(value, list):
        return [_public(one) for one in value]
    if isinstance(value, str) and value.startswith(("/", "~")):
        return Path(value).name
    return value
