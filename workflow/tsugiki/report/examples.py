"""Items that the winner gains or loses against the best parent, with both answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LONGEST = 600
"""Characters of an answer that are shown."""
SHOWN = 5
"""Examples of each kind."""


@dataclass(frozen=True)
class Example:
    """One item."""

    document: int
    prompt: str | None
    """None where the record of the items holds no prompts."""
    target: str
    winner: str
    """The winner's answer."""
    parent: str
    """The best parent's."""


def examples(documents: Sequence[int], objective: str, winner: Any, parent: Any) -> list[Example]:
    """The first few documents with their answers.

    Args:
        documents: Document ids, in the order to be shown.
        objective: Selects rows of the tables.
        winner: The `pyarrow.Table` of the winner's items.
        parent: The same of the best parent.
    """
    wanted = set(documents[:SHOWN])
    ours, theirs = (_rows(table, objective, wanted) for table in (winner, parent))
    return [
        Example(
            document=document,
            prompt=_cut(ours[document]["prompt"]) if "prompt" in ours[document] else None,
            target=_cut(ours[document]["target"]),
            winner=_cut(ours[document]["response"]),
            parent=_cut(theirs[document]["response"]),
        )
        for document in documents[:SHOWN]
    ]


def _rows(table: Any, objective: str, documents: set[int]) -> dict[int, dict[str, Any]]:
    return {
        row["doc_id"]: row
        for row in table.to_pylist()
        if row["objective"] == objective and row["doc_id"] in documents
    }


def _cut(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
