"""A model of the scores over genes, which screens what a strategy asks for before it is merged.

Pre-selection as in Ulmer, Streichert and Zell, "Evolution strategies assisted by Gaussian processes with improved
preselection criterion", CEC 2003, with a Gaussian process (Rasmussen and Williams, "Gaussian Processes for Machine
Learning", 2006, algorithm 2.1): a constant mean, the Matern kernel of 5/2, and noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsugiki.config.evaluation import Objective
from tsugiki.contracts.genome import THRESHOLD, GeneKinds
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.population import Generation, Population
from tsugiki.contracts.scores import scores_of, weighted_sum
from tsugiki.strategies.strategy import Asked, clip

Floats = npt.NDArray[np.float64]

LENGTHS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Lengths of the kernel that are tried, in units of the unit cube's edge times the root of the genes' number."""
NOISES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Variances of the noise that are tried, in units of the signal's."""
FEWEST = 6
"""Candidates of different genes and scores without which nothing is screened."""


@dataclass(frozen=True)
class GaussianProcess:
    """What was fitted.

    Attributes:
        points: shape (candidates, genes).
        weights: shape (candidates,): what each adds to a prediction.
        mean: Of the scores.
        length: Of the kernel.
    """

    points: Floats
    weights: Floats
    mean: float
    length: float

    def predict(self, points: Floats) -> Floats:
        """The expected scores at some points.

        Args:
            points: shape (n, genes).

        Returns:
            shape (n,).
        """
        return self.mean + _kernel(points, self.points, self.length) @ self.weights


def fit(points: Floats, values: Floats) -> GaussianProcess:
    """The Gaussian process under which the scores are most likely, of those with the lengths and noises above.

    Args:
        points: shape (candidates, genes).
        values: shape (candidates,): their scores.
    """
    mean, count = float(values.mean()), len(values)
    centred = values - mean
    best: tuple[float, float, Floats] | None = None
    for length in (math.sqrt(points.shape[1]) * one for one in LENGTHS):
        eigenvalues, vectors = np.linalg.eigh(_kernel(points, points, length))
        along = vectors.T @ centred
        for noise in NOISES:
            spectrum = np.maximum(eigenvalues, 0.0) + noise
            # the signal's variance is the one of the largest likelihood
            signal = float((along**2 / spectrum).mean())
            likelihood = -0.5 * (count * math.log(signal) + float(np.log(spectrum).sum()))
            if best is None or likelihood > best[0]:
                best = likelihood, length, vectors @ (along / spectrum)
    assert best is not None  # there are lengths and noises
    return GaussianProcess(points, best[2], mean, best[1])


def model_of(
    past: Sequence[tuple[Population, Generation]], objectives: Sequence[Objective], kinds: GeneKinds
) -> GaussianProcess | None:
    """A model of what some generations scored, by the weighted sum; None if they say too little."""
    found = {
        candidate.recipe: (candidate.genome, one.outcome)
        for population, entry in past
        for candidate, one in zip(population.candidates, entry.ranked, strict=True)
        if isinstance(one.outcome, Scored)
    }
    if len(found) < FEWEST:
        return None
    outcomes = [outcome.overall for _, outcome in found.values() if isinstance(outcome, Scored)]
    values = weighted_sum(scores_of(outcomes, objectives))
    if not np.ptp(values) > 0:
        return None
    return fit(_coordinates([np.array(genome) for genome, _ in found.values()], kinds), values)


def screen(
    draws: Sequence[Sequence[Asked]], model: GaussianProcess, kinds: GeneKinds
) -> list[Asked]:
    """A generation of several draws: the first half of the first one, and the more promising of the others.

    Each place of the second half takes the best of its own draws, and none takes that of another, so that a
    generation stays spread out, and what a strategy asks for at a place (an elite, a rival of one parent)
    stays there. `draws` are generations of the same size, in the strategy's order.
    """
    first, *_ = draws
    kept = list(first[: math.ceil(len(first) / 2)])
    for rivals in list(zip(*draws, strict=True))[len(kept) :]:
        expected = model.predict(_coordinates([one.genome for one in rivals], kinds))
        kept.append(rivals[int(expected.argmax())])
    return kept


def _coordinates(genomes: Sequence[Floats], kinds: GeneKinds) -> Floats:
    """What is scored of genomes: their nearest points in the unit cube, and of indicators, on or off."""
    inside = np.array([clip(genome) for genome in genomes])
    return np.where(kinds.binary, (inside > THRESHOLD).astype(np.float64), inside)


def _kernel(first: Floats, second: Floats, length: float) -> Floats:
    """Matern's of 5/2; shape (of the first, of the second)."""
    squares = (first**2).sum(axis=1)[:, np.newaxis] + (second**2).sum(axis=1) - 2 * first @ second.T
    scaled = np.sqrt(5 * np.maximum(squares, 0.0)) / length
    return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))
