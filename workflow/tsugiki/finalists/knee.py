"""The knee of a front: where giving up a little of one objective stops gaining much of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.contracts.scores import nondominated


def bulges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each candidate lies beyond the plane through the ends of the front.

    Values are brought to [0, 1] between the worst and the best of each objective on the front, and the ends
    are its best members on each objective. The member that lies furthest beyond the line (for three
    objectives, the plane, and so on) through them is the knee. Where the ends make no plane that faces the
    ideal, as when one candidate is the best on two objectives, it is the plane on which the normalised
    objectives sum to 1.

    Sources: Das (1999), "On characterizing the 'knee' of the Pareto curve based on normal-boundary
    intersection", Structural Optimization 18, who defines the knee so; Branke, Deb, Dierolf and Osswald
    (2004), "Finding knees in multi-objective optimization", PPSN VIII, on why it is a good choice where
    nothing is known of the user's wishes.

    Args:
        values: shape (candidates, objectives), larger is better, finite; at least one candidate.

    Returns:
        float64, shape (candidates,), in units of the normalised objectives, rounded to nine decimals: 0 for the
        ends of the front, negative short of the plane, and negative infinity for whom another one dominates.
    """
    front = np.flatnonzero(nondominated(values))
    low, high = values[front].min(axis=0), values[front].max(axis=0)
    extent = np.where(high > low, high - low, 1.0)
    scaled = (values[front] - low) / extent + (high == low)
    normal = _facing(scaled[scaled.argmax(axis=0)])
    found = np.full(len(values), -np.inf)
    found[front] = np.round((scaled @ normal - 1.0) / np.linalg.norm(normal), 9)
    return found


def _facing(ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector n with n·x = 1 for the ends x of a front; all ones where none is positive.

    Args:
        ends: shape (objectives, objectives), a row for each end.
    """
    ones = np.ones(len(ends))
    if np.linalg.matrix_rank(ends) < len(ends):
        return ones
    normal = np.linalg.solve(ends, ones).astype(np.float64)
    return normal if (normal > 0).all() else ones
