"""Successive halving: the best of a rung go on, a fixed share.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
AISTATS 2016.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from tsugiki.strategies.rungs.rule import Rule, Standing


class Halving(Rule):
    """The best 1/eta of those that came to a rung go on, rounded up."""

    kind: Literal["halving"]
    """Successive halving."""
    eta: Annotated[float, Field(gt=1)] = 2.0
    """One in so many goes on from each rung."""

    def left(self, standing: Standing) -> list[str | None]:
        """All but the best are left, as the strategy orders them; of equals the first goes on."""
        count = len(standing.scores.failed)
        kept = self._kept(count)
        on = set(standing.order[:kept])
        return [None if one in on else f"not among the best {kept}" for one in range(count)]

    def at_most(self, candidates: int, rungs: int) -> Sequence[int]:
        """A share of a share, and so on."""
        counts = [candidates]
        while len(counts) < rungs:
            counts.append(self._kept(counts[-1]))
        return counts

    def _kept(self, candidates: int) -> int:
        return math.ceil(candidates / self.eta)
