"""The rule that leaves no candidate: all are scored on the documents of every rung."""

from __future__ import annotations

from tsugiki.strategies.rungs.rule import Standing


def none(standing: Standing) -> list[str | None]:
    """All go on."""
    return [None] * len(standing.scores.failed)
