"""What a rule for rungs decides: which candidates of a generation are scored on more documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsugiki.contracts.scores import Scores


@dataclass(frozen=True)
class Standing:
    """How the candidates of a generation stand that have been scored on a rung's documents."""

    rung: int
    """Number of the rung, from 0. After the last one nothing is decided."""
    documents: tuple[int, ...]
    """Documents of each task by rung; those of a rung are among those of the next."""
    scores: Scores
    """Over the documents so far. Whoever failed is left whatever the rule says."""
    by_document: npt.NDArray[np.float64]
    """Shape (candidates, documents, objectives): each document's own number, larger is better; NaN where it
    is none, and for candidates that failed. All candidates have the same documents, in the same order."""


Rule = Callable[[Standing], list[str | None]]
"""Says for each candidate, in their order, why it is left at this rung; None if it goes on. A pure function:
equal standings give equal answers."""
