"""The margin: neither value of an indicator ever becomes too improbable.

Hamano, Saito, Nomura and Shirakawa, "CMA-ES with Margin: Lower-Bounding Marginal Probability for
Mixed-Integer Black-Box Optimization", GECCO 2022, section 4, for binary variables. Without it the
distribution of an indicator soon lies on one side of the threshold as a whole, and the search
stalls on a plateau.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tsugiki.evolve.state import Array
from tsugiki.space.genome import THRESHOLD

_SURE = 1e-9


def first_mean(start: Array, binary: NDArray[np.bool_], sigma: float) -> Array:
    """The mean whose indicators are on with the probabilities of `start`.

    Args:
        start: shape (genes,): coordinates of numbers, probabilities of indicators.
        binary: shape (genes,).
        sigma: Standard deviation of every gene.
    """
    mean = np.array(start, dtype=np.float64)
    for index in np.flatnonzero(binary):
        probability = min(max(float(start[index]), _SURE), 1 - _SURE)
        mean[index] = THRESHOLD + sigma * NormalDist().inv_cdf(probability)
    return mean


def with_margin(
    mean: Array, deviation: Array, binary: NDArray[np.bool_], probability: float
) -> Array:
    """The mean, with indicators no farther from the threshold than the margin allows.

    Args:
        mean: shape (genes,).
        deviation: shape (genes,): standard deviation of each gene.
        binary: shape (genes,).
        probability: The least that either value of an indicator keeps (the paper's alpha).
    """
    reach = deviation * NormalDist().inv_cdf(1 - probability)
    kept = THRESHOLD + np.clip(mean - THRESHOLD, -reach, reach)
    return np.where(binary, kept, mean)
