"""How to cite a published model, and the models that it is merged from (Citation File Format 1.2.0)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from tsugiki import __version__
from tsugiki.publish.sources import Source


def citation_file(name: str, owner: str, sources: Sequence[Source]) -> bytes:
    """The content of CITATION.cff.

    Args:
        name: The model's name.
        owner: Who publishes it.
        sources: What it is merged from; each is a reference.
    """
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


TSUGIKI: dict[str, Any] = {
    "type": "software",
    "title": "tsugiki: evolutionary model merging as an auditable workflow",
    "authors": [{"name": "The tsugiki maintainers"}],
    "version": __version__,
}


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
