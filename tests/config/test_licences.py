"""Licences of parents, what follows for a merge, and that docs/licences.md says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from tsugiki.config.licences import (
    TABLE,
    Publication,
    described,
    licence_of,
    merged_licence,
    recognise,
)
from tsugiki.contracts.locks import LockedCard

PAGE = (Path(__file__).parents[2] / "docs" / "licences.md").read_text(encoding="utf-8")


def of(**licences: str) -> dict[str, LockedCard | None]:
    """Model cards that each name a licence."""
    return {name: LockedCard(license=one) for name, one in licences.items()}


def test_the_page_has_the_table_of_the_code() -> None:
    """Licences in their order, their kinds, what they go into, and what they ask of names and notices."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]*)\| ([^|]*)\|$", PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == list(TABLE)
    for name, kind, into, duties in rows:
        one = TABLE[name]
        assert kind == one.kind
        named = tuple(re.findall(r"`([^`]+)`", into))
        assert named == (one.not_into if "all below but" in into else one.into), name
        assert ("a notice" in duties) is (one.notice is not None), name
        begins = re.findall(r"a name that begins with `([^`]+)`", duties)
        assert begins == ([one.prefix] if one.prefix else []), name
        shown = re.findall(r"`(Built with [^`]+)`", duties)
        assert shown == ([one.built_with] if one.built_with else []), name


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (("apache-2.0", "apache-2.0"), "apache-2.0"),
        (("mit", "apache-2.0"), "apache-2.0"),
        (("mit", "cc0-1.0"), "mit"),
        (("apache-2.0", "cc-by-sa-4.0"), "cc-by-sa-4.0"),
        (("apache-2.0", "gpl-2.0"), None),
        (("mit", "gpl-2.0"), "gpl-2.0"),
        (("cc-by-sa-4.0", "gpl-3.0"), "gpl-3.0"),
        (("cc-by-sa-4.0", "cc-by-nc-4.0"), None),
        (("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "mit"), "cc-by-nc-sa-4.0"),
        (("llama3", "apache-2.0"), "llama3"),
        (("llama3", "llama3.1"), None),
        (("gemma", "cc-by-nc-4.0"), None),
        (("cc-by-nd-4.0", "cc-by-nd-4.0"), None),
        (("apache-2.0", "made-up"), None),
    ],
)
def test_the_licence_of_a_merge_follows_from_those_of_all_parents(
    licences: tuple[str, ...], expected: str | None
) -> None:
    """It is one into which all others may go, whatever their order."""
    for order in (licences, licences[::-1]):
        said = {f"parent-{number}": LockedCard(license=one) for number, one in enumerate(order)}
        assert merged_licence(said).license == expected


def test_what_is_not_known_is_named() -> None:
    """The reason says of which parent the licence is not known, and a parent without a card is one."""
    verdict = merged_licence({**of(a="mit"), "b": None})
    assert (verdict.license, "b is unknown" in verdict.reason) == (None, True)
    assert "no legal advice" in str(verdict)


def test_the_configuration_decides_where_it_says_so() -> None:
    """Its licence and its reason are the verdict, whatever the parents say; a reason there must be."""
    stated = Publication(license="other", license_name="mine", reason="agreed upon by letter")
    verdict = merged_licence(of(a="llama3", b="gemma"), stated)
    assert (verdict.license, verdict.name, verdict.reason) == ("other", "mine", stated.reason)
    assert verdict.stated
    for wrong in ({"license": "mit"}, {"license": "other", "reason": "agreed upon by letter"}):
        with pytest.raises(ValidationError):
            Publication.model_validate(wrong)


def test_a_card_that_contradicts_its_licence_file_is_no_licence() -> None:
    """Neither is taken; what each says is told."""
    card = LockedCard(license="mit", text="gpl-3.0")
    assert licence_of(card) is None
    assert described(card) == "unknown (the model card says mit, the licence file is gpl-3.0)"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Llama 3.1 Community License", "llama3.1"), ("llama-3", "llama3"), ("gemma", "gemma")],
)
def test_another_licence_is_known_by_its_name(name: str, expected: str) -> None:
    """`license: other` with a `license_name` in the table, however it is spelt."""
    found = licence_of(LockedCard(license="other", license_name=name))
    assert found is not None
    assert found.id == expected


def test_licence_texts_are_recognised() -> None:
    """By the words that licences begin with; the project's own licence is Apache-2.0."""
    own = (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")
    assert recognise(own) == "apache-2.0"
    mit = "MIT License\n\nCopyright (c) 2026\n\nPermission is hereby granted, free of charge, to any person obtaining a copy"
    assert recognise(mit) == "mit"
    assert recognise("META LLAMA 3 COMMUNITY LICENSE AGREEMENT") == "llama3"
    assert recognise("All rights reserved.") is None
