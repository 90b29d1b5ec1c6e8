"""Scores to tell strategies of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tsugiki.contracts.scores import Scores


def scored(
    values: ArrayLike, failed: Sequence[int] = (), weights: Sequence[float] | None = None
) -> Scores:
    """Scores of shape (population,) or (population, objectives); failures by index."""
    rows = np.array(values, dtype=np.float64)
    rows = rows[:, np.newaxis] if rows.ndim == 1 else rows
    rows[list(failed)] = np.nan
    counts = np.ones(rows.shape[1]) if weights is None else np.array(weights)
    return Scores(rows, np.isin(np.arange(len(rows)), failed), counts)
