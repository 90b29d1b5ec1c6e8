"""Functions of the unit cube to search, and a record of what a search found. numpy and moocore only.

Every function is to be minimised, down to 0; its optimum lies elsewhere for each seed. `noisy` is a sphere
whose values have as much noise as scores on 200 documents: a search sees the noise, the loss does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _away(x: Array, seed: int) -> Array:
    return x - np.random.default_rng(seed).uniform(0.2, 0.8, x.shape[1])


def _sphere(x: Array, seed: int) -> Array:
    return (_away(x, seed) ** 2).sum(axis=1)


def _ellipsoid(x: Array, seed: int) -> Array:
    genes = x.shape[1]
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(genes, genes)))[0]
    return ((_away(x, seed) @ turn) ** 2 * 10.0 ** np.linspace(-3, 0, genes)).sum(axis=1)


def _rastrigin(x: Array, seed: int) -> Array:
    away = _away(x, seed)
    return (away**2 + 0.02 * (1 - np.cos(8 * np.pi * away))).sum(axis=1)


def _bits(x: Array, seed: int) -> Array:
    wanted = np.random.default_rng(seed).random(x.shape[1]) > 0.5
    return ((x > 0.5) != wanted).mean(axis=1)


def _zdt1(x: Array, seed: int) -> Array:
    del seed
    first, g = x[:, 0], 1 + 9 * x[:, 1:].mean(axis=1)
    return np.stack([first, g * (1 - np.sqrt(first / g))], axis=1)


def _dtlz2(x: Array, seed: int) -> Array:
    radius = 1 + (_away(x[:, 2:], seed) ** 2).sum(axis=1)
    one, two = (np.pi / 2 * x[:, :2]).T
    rows = [np.cos(one) * np.cos(two), np.cos(one) * np.sin(two), np.sin(one)]
    return radius[:, None] * np.stack(rows, axis=1)


FUNCTIONS: dict[str, Callable[[Array, int], Array]] = {
    "sphere": _sphere,
    "noisy": _sphere,
    "ellipsoid": _ellipsoid,
    "rastrigin": _rastrigin,
    "bits": _bits,
    "zdt1": _zdt1,
    "dtlz2": _dtlz2,
}
NUMBERS = ("sphere", "noisy", "ellipsoid", "rastrigin")
FRONTS = {"zdt1": (11.0 * 1.1 - 1 / 3, 2), "dtlz2": (1.1**3 - np.pi / 6, 3)}
"""The volume that the whole front dominates, and the number of objectives."""
_REFERENCE = {"zdt1": (1.1, 11.0), "dtlz2": (1.1, 1.1, 1.1)}
_NOISE = {"noisy": 0.03, "bits": 0.03}


class SpentError(Exception):
    """The search has had all its evaluations."""


class Problem:
    """A function, and what a search found on it.

    Args:
        name: Of the function.
        seed: Of its optimum and noise.
        evaluations: When to look at what was found; the search ends with the last.
    """

    def __init__(self, name: str, seed: int, evaluations: Sequence[int]) -> None:
        self.name, self.seed, self.evaluations = name, seed, evaluations
        self._noise = np.random.default_rng((seed, 1))
        self._true: list[Array] = []
        self._seen: list[Array] = []
        self._count = 0

    def __call__(self, x: Array) -> Array:
        """Values of points of the unit cube, shape (points, genes), with noise.

        Raises:
            SpentError: there are no evaluations left for the next call.
        """
        if self._count >= self.evaluations[-1]:
            raise SpentError
        true = FUNCTIONS[self.name](np.clip(x, 0.0, 1.0), self.seed)
        seen = true + _NOISE.get(self.name, 0.0) * self._noise.normal(size=true.shape)
        self._count += len(x)
        self._true.extend(true)
        self._seen.extend(seen)
        return seen

    def losses(self) -> list[float]:
        """How far the search was from the optimum, or from the front, at each number of evaluations."""
        return [self._loss(np.array(self._true[:at]), self._seen[:at]) for at in self.evaluations]

    def _loss(self, true: Array, seen: Sequence[Array]) -> float:
        if self.name not in FRONTS:
            return float(true[np.argmin(seen)])
        return float(
            FRONTS[self.name][0] - moocore.hypervolume(true, ref=np.array(_REFERENCE[self.name]))
        )
