"""What a rule for rungs is: settings, and the decision which candidates are scored on more documents; and that of none."""

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
    """How the candidates of a generation stand that have been scored on a rung's documents."""

    rung: int
    """Number of the rung, from 0. After the last one nothing is decided."""
    documents: tuple[int, ...]
    """Documents of each task by rung; those of a rung are among those of the next."""
    candidates: int
    """How many the generation began with."""
    scores: Scores
    """Over the documents so far. Whoever failed is left whatever the rule says."""
    order: tuple[int, ...]
    """Indices of the candidates that did not fail, best first, as the strategy of the stage sees them."""
    by_document: npt.NDArray[np.float64]
    """Shape (candidates, documents, objectives): each document's own number, larger is better; NaN where it
    is none, and for candidates that failed. All candidates have the same documents, in the same order."""
    weighs: bool = True
    """Whether the strategy compares candidates by the weighted sum, and not by each objective."""


class Rule(Section, ABC):
    """A rule; its fields are its settings in a configuration. Without any, its name stands for it."""

    by_document: ClassVar[bool] = False
    """Whether it compares documents one by one, so that scores have to be means over them."""

    kind: str
    """Its name."""

    @abstractmethod
    def left(self, standing: Standing) -> list[str | None]:
        """Why each candidate is left at this rung, in their order; None if it goes on.

        A pure function: equal standings give equal answers.
        """

    def at_most(self, candidates: int, rungs: int) -> Sequence[int]:
        """How many candidates come to each rung at most; all of them unless a rule says otherwise."""
        return [candidates] * rungs


class NoneLeft(Rule):
    """Nobody is left."""

    kind: Literal["none"] = "none"
    """All go on."""

    def left(self, standing: Standing) -> list[str | None]:
        """All go on."""
        return [None] * len(standing.scores.failed)
