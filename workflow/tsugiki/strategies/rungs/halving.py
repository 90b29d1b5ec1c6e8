"""Successive halving: after each rung a fixed share of the candidates continues, the best ones.

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
    """After each rung the best 1/eta of its candidates continue, rounded up."""

    kind: Literal["halving"]
    """Successive halving."""
    eta: Annotated[float, Field(gt=1)] = 2.0
    """One in so many candidates continues after each rung."""

    def left(self, standing: Standing) -> list[str | None]:
        """Eliminate all but the best, in the strategy's order; ties are broken by the order of the candidates."""
        count = len(standing.scores.failed)
        kept = self._kept(count)
        on = set(standing.order[:kept])
        return [None if one in on else f"not among the best {kept}" for one in range(count)]

    def at_most(self, candidates: int, rungs: int) -> Sequence[int]:
        """The number of candidates on each rung, each 1/eta of the one before."""
        counts = [candidates]
        while len(counts) < rungs:
            counts.append(self._kept(counts[-1]))
        return counts

    def _kept(self, candidates: int) -> int:
        return math.ceil(candidates / self.eta)
