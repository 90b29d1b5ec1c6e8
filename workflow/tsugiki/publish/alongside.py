"""Files that go along with a published model: what its run recorded, the licences of its parents, how to cite it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tsugiki import __version__
from tsugiki.canonical import digest_bytes, pretty_json
from tsugiki.config.licences import ADVICE, Verdict, described, licence_of
from tsugiki.config.run import RunConfig
from tsugiki.contracts.environment import read_environment
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.locks import read_lock
from tsugiki.errors import LineageError
from tsugiki.publish.sources import Source, Sources

FOLDER = "lineage"
HERE = frozenset({"host", "results", "tracking"})
"""Keys of a configuration and an environment that say where a run was, and nothing of its results;
`tracking` may hold the password of a database."""
TSUGIKI: dict[str, Any] = {
    "type": "software",
    "title": "tsugiki: evolutionary model merging as an auditable workflow",
    "authors": [{"name": "The tsugiki maintainers"}],
    "version": __version__,
}


def lineage_files(
    files: RunFiles, config: RunConfig, found: Sources, verdict: Verdict
) -> dict[str, bytes]:
    """Content of each file by its path: configuration, locks, documents, final table, recipes, licences.

    Paths of this machine are reduced to their last name, and what `HERE` names is left out.
    """
    configuration = _public(config.model_dump(mode="json"))
    content = {
        "config.yaml": yaml.safe_dump(configuration, allow_unicode=True, width=100).encode(),
        "parents.lock.json": pretty_json(_public(json.loads(read_lock(files.parents).to_json()))),
        "items.json": files.items.read_bytes(),
        "final.json": files.final.read_bytes(),
        "environment.json": pretty_json(_public(read_environment(files))),
        "licences.json": pretty_json(_licences(found.models, verdict)),
        **{f"recipe-{stage}.json": one.to_json() for stage, one in found.stages.items()},
    }
    return {f"{FOLDER}/{name}": one for name, one in content.items()}


def licence_files(sources: Sequence[Source]) -> dict[str, bytes]:
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


def notice(sources: Sequence[Source]) -> bytes | None:
    """The content of NOTICE: what licences of the sources want to be said; None if they want nothing."""
    wanted = [licence_of(one.card) for one in sources]
    said = dict.fromkeys(one.notice for one in wanted if one is not None and one.notice)
    return "".join(f"{line}\n" for line in said).encode() or None


def citation_file(name: str, owner: str, sources: Sequence[Source]) -> bytes:
    """The content of CITATION.cff (Citation File Format 1.2.0)."""
    content = {
        "cff-version": "1.2.0",
        "message": "If you use this model, please cite it and the models that it is merged from.",
        "type": "software",
        "title": name,
        "authors": [{"name": owner}],
        "references": [*map(_reference, sources), TSUGIKI],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100).encode()


def citation_entries(sources: Sequence[Source]) -> bytes | None:
    """The content of CITATION.bib: the BibTeX entries of the sources' model cards; None if there are none."""
    found = [
        f"% {one.title}\n{one.card.citation}\n" for one in sources if one.card and one.card.citation
    ]
    return "\n".join(found).encode() or None


def _licences(sources: Sequence[Source], verdict: Verdict) -> dict[str, Any]:
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


def _reference(source: Source) -> dict[str, Any]:
    owner = source.hub.partition("/")[0] if source.hub else "unknown"
    reference: dict[str, Any] = {
        "type": "software",
        "title": source.title,
        "authors": [{"name": owner}],
    }
    if source.hub is not None:
        reference["url"] = f"https://huggingface.co/{source.hub}"
    if source.locked.commit is not None:
        reference["commit"] = source.locked.commit
    else:
        reference["notes"] = f"SHA-256 of its files: {source.locked.digest}"
    return reference
