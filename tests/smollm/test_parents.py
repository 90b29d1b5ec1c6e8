"""Parents are kept, and known by all that determines them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tsugiki.smollm import parents
from tsugiki.smollm.parents import key, make
from tsugiki.smollm.questions import SKILLS, as_sentence

JSON = SKILLS["json"]


@pytest.mark.parametrize(
    "other",
    [
        replace(JSON, steps=JSON.steps + 1),
        replace(JSON, rate=2 * JSON.rate),
        replace(JSON, rank=8),
        replace(JSON, kind="arithmetic"),
        replace(JSON, answer=as_sentence),
    ],
)
def test_every_setting_is_part_of_the_key(other: parents.Skill) -> None:
    """So is the seed."""
    assert len({key(JSON, 1), key(JSON, 2), key(other, 1)}) == 3


def test_a_parent_is_trained_once_by_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again by others."""
    trained: list[str] = []
    monkeypatch.setattr(parents, "_train_into", lambda _into, *, name, **_: trained.append(name))
    changed = {"json": replace(JSON, rate=2 * JSON.rate)}
    for skills in (SKILLS, SKILLS, changed, changed):
        assert make(tmp_path, 1, "json", skills) == tmp_path / "json-seed1"
    assert trained == ["json", "json"]
