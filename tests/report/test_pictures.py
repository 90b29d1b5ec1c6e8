"""Pictures of the items that a merge gains or loses."""

from __future__ import annotations

import base64
from pathlib import Path

import pyarrow as pa

from tsugiki.contracts.layout import RunFiles
from tsugiki.report.data import examples

ROWS = [
    {
        "objective": "seen",
        "doc_id": place,
        "doc_hash": f"{place}" * 64,
        "value": 1.0,
        "response": "red",
        "target": "red",
    }
    for place in range(2)
]


def test_an_item_is_shown_with_its_picture(tmp_path: Path) -> None:
    """As data URIs, so that the page needs nothing else; an item without pictures has none."""
    files = RunFiles(tmp_path)
    path = files.picture("1" * 64, 0)
    path.parent.mkdir()
    path.write_bytes(b"a picture")
    table = pa.Table.from_pylist(ROWS)
    first, second = examples([0, 1], "seen", table, table, files)
    assert first.pictures == []
    (shown,) = second.pictures
    head, _, content = shown.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(content) == b"a picture"


def test_an_item_without_an_answer_or_a_value_shows_what_it_adds(tmp_path: Path) -> None:
    """A text of a corpus has a log-likelihood and a length."""
    row = {**ROWS[0], "value": None, "part": "[-12.5, 40]", "response": None, "target": None}
    table = pa.Table.from_pylist([row])
    (shown,) = examples([0], "seen", table, table, RunFiles(tmp_path))
    assert (shown.winner, shown.parent, shown.target) == ("[-12.5, 40]", "[-12.5, 40]", "")
