"""The interface of rules for rungs, which decide which candidates are scored on more documents; and the rule `none`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from tsugiki.contracts.data import Section
from tsugiki.contracts.scores import Scores


@dataclass(frozen=True)
class Standing:
    """What a rule knows when it decides after a rung: the scores of the candidates that were scored on it."""

    rung: int
    """Number of the rung, from 0. There is no decision after the last one."""
    documents: tuple[int, ...]
    """Number of documents of each task on each rung; those of a rung are among those of the next."""
    candidates: int
    """How many candidates the generation began with."""
    scores: Scores
    """Over the documents so far. Candidates that failed are eliminated whatever the rule says."""
    order: tuple[int, ...]
    """Indices of the candidates that did not fail, best first, in the order of the stage's strategy."""
    by_document: npt.NDArray[np.float64]
    """Shape (candidates, documents, objectives): the score on each document, larger is better; NaN if it has none,
    and for candidates that failed. All candidates have the same documents, in the same order."""
    weighs: bool = True
    """Whether the strategy compares candidates by the weighted sum; otherwise by each objective."""


class Rule(Section, ABC):
    """Decides after a rung which candidates continue; its fields are its settings in a configuration."""

    by_document: ClassVar[bool] = False
    """Whether it needs a score for each document, so that objectives have to be means over documents."""

    kind: str
    """Its name."""

    @abstractmethod
    def left(self, standing: Standing) -> list[str | None]:
        """For each candidate the reason why it is eliminated at this rung, or None if it continues.

        A pure function: equal standings give equal answers.
        """

    def at_most(self, candidates: int, rungs: int) -> Sequence[int]:
        """The largest number of candidates on each rung: all of them unless a rule overrides this."""
        return [candidates] * rungs


class NoneLeft(Rule):
    """All candidates continue; only those that failed are eliminated."""

    kind: Literal["none"] = "none"
    """No elimination."""

    def left(self, standing: Standing) -> list[str | None]:
        """Nobody is eliminated."""
        return [None] * len(standing.scores.failed)
