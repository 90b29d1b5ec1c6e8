"""Licences of models, and the licence of a merge that follows from those of its parents.

A help to see conflicts early, and no legal advice. docs/licences.md has the same table in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tsugiki.contracts.data import IfSet, Section
from tsugiki.contracts.locks import LockedCard

Kind = Literal["permissive", "share-alike", "non-commercial", "no derivatives", "custom"]
ADVICE = "a help, and no legal advice"


@dataclass(frozen=True)
class Licence:
    """One licence."""

    id: str
    """As the Hub calls it."""
    kind: Kind
    into: tuple[str, ...] = ()
    """Other licences that a merge of models under this one may have. Permissive ones go into all that stand
    below them in the table, but for those that `not_into` names."""
    not_into: tuple[str, ...] = ()
    prefix: str | None = None
    """What the name of a derived model has to begin with."""
    built_with: str | None = None
    """What has to be displayed with a derived model."""
    notice: str | None = None
    """What the notice beside a derived model has to say."""


def _llama(version: str, *, since: bool = True) -> Licence:
    """Llama's community licences from 3.1 on ask for a name that begins with `Llama`."""
    notice = (
        f"Llama {version} is licensed under the Llama {version} Community License, Copyright © Meta "
        "Platforms, Inc. All Rights Reserved."
    )
    major = "4" if version == "4" else version
    return Licence(
        f"llama{major}",
        "custom",
        prefix="Llama" if since else None,
        built_with="Built with Llama" if since else None,
        notice=notice,
    )


TABLE: dict[str, Licence] = {
    one.id: one
    for one in (
        Licence("cc0-1.0", "permissive"),
        Licence("unlicense", "permissive"),
        Licence("wtfpl", "permissive"),
        Licence("zlib", "permissive"),
        Licence("mit", "permissive"),
        Licence("isc", "permissive"),
        Licence("bsd-2-clause", "permissive"),
        Licence("bsd-3-clause", "permissive"),
        Licence("cdla-permissive-2.0", "permissive"),
        Licence("cc-by-3.0", "permissive"),
        Licence("cc-by-4.0", "permissive"),
        Licence("apache-2.0", "permissive", not_into=("gpl-2.0",)),
        Licence("mpl-2.0", "share-alike", into=("lgpl-3.0", "gpl-3.0", "agpl-3.0")),
        Licence("cc-by-sa-3.0", "share-alike", into=("cc-by-sa-4.0",)),
        Licence("cc-by-sa-4.0", "share-alike", into=("gpl-3.0",)),
        Licence("lgpl-3.0", "share-alike", into=("gpl-3.0", "agpl-3.0")),
        Licence("gpl-2.0", "share-alike"),
        Licence("gpl-3.0", "share-alike", into=("agpl-3.0",)),
        Licence("agpl-3.0", "share-alike"),
        Licence("cc-by-nc-3.0", "non-commercial", into=("cc-by-nc-4.0", "cc-by-nc-sa-4.0")),
        Licence("cc-by-nc-4.0", "non-commercial", into=("cc-by-nc-sa-4.0",)),
        Licence("cc-by-nc-sa-3.0", "non-commercial", into=("cc-by-nc-sa-4.0",)),
        Licence("cc-by-nc-sa-4.0", "non-commercial"),
        Licence("cc-by-nd-4.0", "no derivatives"),
        Licence("cc-by-nc-nd-4.0", "no derivatives"),
        Licence(
            "llama2",
            "custom",
            notice="Llama 2 is licensed under the LLAMA 2 Community License, Copyright (c) Meta "
            "Platforms, Inc. All Rights Reserved.",
        ),
        Licence(
            "llama3",
            "custom",
            prefix="Llama 3",
            built_with="Built with Meta Llama 3",
            notice="Meta Llama 3 is licensed under the Meta Llama 3 Community License, Copyright © Meta "
            "Platforms, Inc. All Rights Reserved.",
        ),
        _llama("3.1"),
        _llama("3.2"),
        _llama("3.3"),
        _llama("4"),
        Licence(
            "gemma",
            "custom",
            notice="Gemma is provided under and subject to the Gemma Terms of Use found at "
            "ai.google.dev/gemma/terms",
        ),
        Licence("openrail", "custom"),
        Licence("openrail++", "custom"),
        Licence("creativeml-openrail-m", "custom"),
        Licence("bigscience-openrail-m", "custom"),
        Licence("bigscience-bloom-rail-1.0", "custom"),
        Licence("bigcode-openrail-m", "custom"),
    )
}
"""By id; permissive ones from the least demanding to the most."""

TEXTS: tuple[tuple[str, str], ...] = (
    (r"apache license\s+version 2\.0", "apache-2.0"),
    (r"llama 2 community license agreement", "llama2"),
    (r"llama 3 community license agreement", "llama3"),
    (r"llama 3\.1 community license agreement", "llama3.1"),
    (r"llama 3\.2 community license agreement", "llama3.2"),
    (r"llama 3\.3 community license agreement", "llama3.3"),
    (r"llama 4 community license agreement", "llama4"),
    (r"gemma terms of use", "gemma"),
    (r"gnu affero general public license\s+version 3", "agpl-3.0"),
    (r"gnu lesser general public license\s+version 3", "lgpl-3.0"),
    (r"gnu general public license\s+version 3", "gpl-3.0"),
    (r"gnu general public license\s+version 2", "gpl-2.0"),
    (r"mozilla public license version 2\.0", "mpl-2.0"),
    (r"attribution-noncommercial-sharealike 4\.0 international", "cc-by-nc-sa-4.0"),
    (r"attribution-noncommercial-noderiv\w* 4\.0 international", "cc-by-nc-nd-4.0"),
    (r"attribution-noncommercial 4\.0 international", "cc-by-nc-4.0"),
    (r"attribution-sharealike 4\.0 international", "cc-by-sa-4.0"),
    (r"attribution-noderiv\w* 4\.0 international", "cc-by-nd-4.0"),
    (r"attribution 4\.0 international", "cc-by-4.0"),
    (r"cc0 1\.0 universal", "cc0-1.0"),
    (r"permission is hereby granted, free of charge, to any person obtaining a copy", "mit"),
    (r"redistribution and use in source and binary forms.*neither the name", "bsd-3-clause"),
    (r"redistribution and use in source and binary forms", "bsd-2-clause"),
)
"""Words that only one licence has, near its beginning; the first that fits tells."""
BEGINNING = 3000
"""Characters of a text that are looked at."""


def recognise(text: str) -> str | None:
    """The licence whose text this is, as the Hub calls it; None if it is not known."""
    start = text[:BEGINNING].lower()
    return next((name for words, name in TEXTS if re.search(words, start, re.DOTALL)), None)


def licence_of(card: LockedCard | None) -> Licence | None:
    """A parent's licence; None where it is not known, or where card and licence file disagree."""
    if card is None:
        return None
    named = card.license_name if card.license == "other" else card.license
    said = TABLE.get(_key(named)) if named else None
    read = TABLE.get(card.text) if card.text else None
    if named and read is not None:
        return said if said == read else None
    return said or read


def described(card: LockedCard | None) -> str:
    """A parent's licence in words, such as `apache-2.0 (permissive)`."""
    if card is None or not (card.license or card.text):
        return "unknown"
    if (found := licence_of(card)) is not None:
        return f"{found.id} ({found.kind})"
    named = card.license_name if card.license == "other" and card.license_name else card.license
    if named and card.text and _key(named) != card.text:
        return f"unknown (the model card says {named}, the licence file is {card.text})"
    return f"unknown ({named or card.text})"


class Publication(Section):
    """The licence of the published model, where the parents' do not decide it."""

    license: Annotated[str, Field(min_length=1)]
    """The licence, as the Hub calls it, such as `apache-2.0`; `other` needs `license_name`."""
    license_name: IfSet[str | None] = None
    """Name of another licence."""
    license_link: IfSet[str | None] = None
    """Where the text of another licence is."""
    reason: Annotated[str, Field(min_length=10)]
    """Why the model may be published under it. It goes into the model card."""

    @model_validator(mode="after")
    def _other_has_a_name(self) -> Publication:
        if self.license == "other" and self.license_name is None:
            raise ValueError("license `other` needs `license_name`")
        return self


@dataclass(frozen=True)
class Verdict:
    """The licence of a merge."""

    license: str | None
    """As the Hub calls it; None if it does not follow from the parents' licences."""
    reason: str
    """How it follows, or why it does not."""
    name: str | None = None
    """Of another licence."""
    link: str | None = None
    """Where another licence is."""
    stated: bool = False
    """Whether the configuration states it."""

    def __str__(self) -> str:
        return f"{self.name or self.license or 'none'}: {self.reason} ({ADVICE})"


def merged_licence(
    cards: Mapping[str, LockedCard | None], stated: Publication | None = None
) -> Verdict:
    """The licence that a merge of models may have.

    It is the one that all others may go into; of several, the most demanding one. What the configuration
    says (`stated`) decides.
    """
    if stated is not None:
        return Verdict(
            stated.license, stated.reason, stated.license_name, stated.license_link, stated=True
        )
    found = {name: licence_of(card) for name, card in cards.items()}
    if unknown := sorted(name for name, one in found.items() if one is None):
        words = "; ".join(f"{name} is {described(cards[name])}" for name in unknown)
        return Verdict(None, f"the licence of a parent is not known: {words}")
    distinct = {one.id: one for one in found.values() if one is not None}
    fixed = [one.id for one in distinct.values() if one.kind == "no derivatives"]
    if fixed:
        return Verdict(None, f"{', '.join(fixed)} allows no derived models")
    common = [
        one
        for one in distinct.values()
        if all(_goes_into(other, one) for other in distinct.values())
    ]
    if not common:
        return Verdict(
            None, f"the parents' licences are in conflict: {', '.join(sorted(distinct))}"
        )
    order = list(TABLE)
    chosen = max(common, key=lambda one: order.index(one.id))
    if len(distinct) == 1:
        return Verdict(chosen.id, "the licence of all parents")
    others = ", ".join(sorted(distinct.keys() - {chosen.id}))
    return Verdict(chosen.id, f"those of the other parents may go into it ({others})")


def _goes_into(one: Licence, other: Licence) -> bool:
    if one == other or other.id in one.into:
        return True
    order = list(TABLE)
    below = order.index(one.id) < order.index(other.id)
    return one.kind == "permissive" and below and other.id not in one.not_into


def _key(name: str) -> str:
    """A licence's name as ids are written: `Llama 3.1` and `llama-3.1` are `llama3.1`."""
    text = name.strip().lower()
    if text in TABLE:
        return text
    squeezed = re.sub(r"[\s_-]+|(community)?\s*licen[cs]e$", "", text)
    squeezed = re.sub(r"community$", "", squeezed)
    return squeezed if squeezed in TABLE else text
