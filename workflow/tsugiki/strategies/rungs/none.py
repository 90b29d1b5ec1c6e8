"""The rule that leaves no candidate: all are scored on the documents of every rung."""

from __future__ import annotations

from typing import Literal

from tsugiki.strategies.rungs.rule import Rule, Standing


class NoneLeft(Rule):
    """Nobody is left."""

    kind: Literal["none"] = "none"
    """All go on."""

    def left(self, standing: Standing) -> list[str | None]:
        """All go on."""
        return [None] * len(standing.scores.failed)
