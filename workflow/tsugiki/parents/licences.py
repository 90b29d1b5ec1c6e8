"""What parents say of their licences: read from model cards and licence files, or known from the lock."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import yaml

from tsugiki.canonical import digest_bytes
from tsugiki.config.licences import described, merged_licence, recognise
from tsugiki.config.parents import DemoParent
from tsugiki.config.run import RunConfig
from tsugiki.contracts.locks import LockedCard, ParentsLock
from tsugiki.models.sources import ParentFiles

CARD = "README.md"
LICENCE_FILE = re.compile(r"^(licen[cs]e|copying|notice|use_policy)([._-].*)?$", re.IGNORECASE)
LARGEST = 1 << 20
"""Bytes; a larger file is no licence, and no model card."""
NOT_READ = "not known before it can be read"
ALL_READ = "not known before all parents can be read"
DEMO = LockedCard(license="apache-2.0")
"""Models of the demo are made by this project, of text that it makes."""


def read_card(files: ParentFiles) -> LockedCard | None:
    """What a model's card and licence files say; None if they say nothing.

    Errors are those of reading a file.
    """
    said = _metadata(files.read(CARD)) if _is_small(files, CARD) else ({}, "")
    metadata, body = said
    texts = {
        name: files.read(name)
        for name in sorted(files.sizes)
        if LICENCE_FILE.match(name) and _is_small(files, name)
    }
    readable = {
        name: content.decode(errors="replace")
        for name, content in texts.items()
        if not name.lower().startswith(("notice", "use_policy"))
    }
    found = LockedCard(
        license=_one(metadata.get("license")),
        license_name=_one(metadata.get("license_name")),
        license_link=_one(metadata.get("license_link")),
        text=next(filter(None, map(recognise, readable.values())), None),
        files={name: digest_bytes(content) for name, content in texts.items()},
        base_models=_several(metadata.get("base_model")),
        languages=_several(metadata.get("language")),
        citation=_citation(body),
    )
    return None if found == LockedCard() else found


def cards(
    config: RunConfig, lock: ParentsLock | None, here: Mapping[str, ParentFiles]
) -> dict[str, LockedCard | None]:
    """What each parent of a run says, by name; what is locked counts first."""
    found: dict[str, LockedCard | None] = {}
    for name, source in config.parents.items():
        locked = lock.parents.get(name) if lock is not None else None
        if isinstance(source, DemoParent):
            found[name] = DEMO
        elif locked is not None and locked.card is not None:
            found[name] = locked.card
        else:
            found[name] = read_card(here[name]) if name in here else None
    return found


def lines(
    config: RunConfig, said: Mapping[str, LockedCard | None], unread: Collection[str] = ()
) -> list[str]:
    """The licence of each parent, and what follows for the merge, a line each; none for the demo's alone.

    Args:
        config: The run.
        said: What each parent says.
        unread: Parents that could not be looked into, by name.
    """
    if all(isinstance(source, DemoParent) for source in config.parents.values()):
        return []
    unknown = [name for name, card in said.items() if card is None and name in unread]
    of_parents = [
        f"licence of {name}: {NOT_READ if name in unknown else described(card)}"
        for name, card in said.items()
    ]
    follows = config.publication is not None or not unknown
    verdict = merged_licence(said, config.publication) if follows else ALL_READ
    return [*of_parents, f"licence of the merge: {verdict}"]


def _is_small(files: ParentFiles, name: str) -> bool:
    return files.sizes.get(name, LARGEST) < LARGEST


def _metadata(content: bytes) -> tuple[dict[str, Any], str]:
    """The YAML at the head of a model card, and what follows it; no YAML if it cannot be read."""
    text = content.decode(errors="replace").replace("\r\n", "\n").removeprefix("\ufeff")
    match = re.match(r"---\n(.*?)\n---\s*(?:\n|$)", text, re.DOTALL)
    if match is None:
        return {}, text
    try:
        value = yaml.safe_load(match[1])
    except yaml.YAMLError:
        value = None
    return (value if isinstance(value, dict) else {}), text[match.end() :]


def _several(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(str(one) for one in values if isinstance(one, str | int | float) and one != "")


def _one(value: Any) -> str | None:
    """A single text; several licences are written one after another, which is none that is known."""
    return ", ".join(_several(value)) or None


def _citation(body: str) -> str | None:
    entries = re.findall(
        r"^```(?:bibtex|bib|latex)?[ \t]*\n(\s*@\w+\s*\{.*?)^```", body, re.DOTALL | re.MULTILINE
    )
    return "\n\n".join(entry.strip() for entry in entries) or None
