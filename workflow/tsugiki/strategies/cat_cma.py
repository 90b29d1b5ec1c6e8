"""CatCMA: indicators as categories of their own, numbers in a full covariance (DEAP's `cma.Strategy`).

Hamano, Saito, Nomura, Uchida and Shirakawa, "CatCMA: Stochastic Optimization for Mixed-Category Problems", GECCO 2024,
arXiv 2405.09962, algorithm 1, for categories of two values. The joint distribution is the product of a normal one and of
Bernoulli ones. The latter follow their natural gradient with the trust region of ASNG (Akimoto, Shirakawa, Yoshinari, Uchida, Saito
and Nishida, ICML 2019), and both values of an indicator keep the probability of a margin. Where there are numbers only, this is
CMA-ES with positive weights, and where there are none, ASNG.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from deap import cma
from numpy.typing import NDArray
from pydantic import Field

from tsugiki.contracts.genome import THRESHOLD, GeneKinds
from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.keyed import generator
from tsugiki.strategies.cma_es import (
    MOST_GENES,
    boundary_penalty,
    freeze,
    individuals,
    thaw,
)
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, Strategy, default_population, seeded_globals, shorten

ALPHA = 1.5
"""Signal to noise of the natural gradient above which the trust region grows (ASNG)."""
LEAST_VARIANCE = 1e-30
"""Of the normal distribution along any axis."""


class CatCma(Strategy):
    """CatCMA, for indicators and numbers together (Hamano et al. 2024)."""

    forgets: ClassVar[bool] = True
    most_genes: ClassVar[int | None] = MOST_GENES
    learns: ClassVar[str] = "the covariances of all numbers"
    instead: ClassVar[str] = "the strategy `sep_cma` or `bit_cma`"

    kind: Literal["cat_cma"]
    """CMA-ES for numbers and categories."""
    population: Annotated[int, Field(ge=4)] | None = None
    """Candidates in a generation; 4 + floor(3 ln n) if absent."""
    sigma: Annotated[float, Field(gt=0, le=1)] = 1 / 6
    """First step size of the numbers, in units of their ranges."""
    margin: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """Smallest probability of either value of an indicator. If absent, 1 - 0.73^(1/n) for n indicators, so that a draw has
    the likelier value of all of them with a probability of at most 0.73."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """Numbers are normal about the start; indicators are as probable as it says, or as the margin allows."""
        binary = (kinds or GeneKinds.numbers(len(start))).binary
        size = self.population or default_population(len(start))
        known = {
            "binary": binary.astype(np.float64),
            "probability": self._kept(np.array(start, dtype=np.float64)[binary]),
            "path": np.zeros(int(binary.sum())),
        }
        trust = {"population": size, "delta": 1.0, "growth": 1.0, "weight": 0.0}
        numbers = start[~binary]
        if not len(numbers):
            return State(self.kind, known, trust)
        normal = cma.Strategy(centroid=numbers, sigma=self.sigma, lambda_=size)
        return _joined(freeze(normal, size, self.kind), known, trust)

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Draw numbers and indicators, each from its own distribution."""
        binary, size = state.arrays["binary"] > 0, int(state.scalars["population"])
        genomes = np.empty((size, len(binary)))
        probability = state.arrays["probability"]
        on = generator(*key, "indicators").random((size, len(probability))) < probability
        genomes[:, binary] = on
        if not binary.all():
            with seeded_globals(key):
                genomes[:, ~binary] = np.array(thaw(state).generate(np.asarray))
        return [Asked(one) for one in genomes]

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Move both distributions towards the better half of the generation."""
        binary, fitness = state.arrays["binary"] > 0, weighted_sum(scores)
        normal: State | None = None
        if not binary.all():
            strategy, numbers = _of_paper(thaw(state)), genomes[:, ~binary]
            variance = strategy.sigma**2 * np.diag(strategy.C)
            fitness = fitness - boundary_penalty(numbers, fitness, variance)
            strategy.update(individuals(numbers, fitness))
            least = math.sqrt(LEAST_VARIANCE) / float(strategy.diagD.min())
            strategy.sigma = max(strategy.sigma, least)
            normal = freeze(strategy, state.scalars["population"], self.kind)
        known = {name: state.arrays[name] for name in ("binary", "probability", "path")}
        trust = {name: state.scalars[name] for name in ("population", "delta", "growth", "weight")}
        if binary.any():
            best = np.argsort(-weighted_sum(scores), kind="stable")
            known, trust = self._learn(known, trust, genomes[best][:, binary] > THRESHOLD)
        return State(self.kind, known, trust) if normal is None else _joined(normal, known, trust)

    def injected(self, state: State, genomes: Array) -> Array:
        """Injected candidates with their own indicators; their numbers are moved towards the mean if far from it."""
        number = state.arrays["binary"] == 0
        told = genomes.copy()
        if number.any():
            strategy = thaw(state)
            scale = strategy.diagD * strategy.sigma
            steps = (genomes[:, number] - strategy.centroid) @ strategy.B / scale
            told[:, number] = strategy.centroid + (shorten(steps) * scale) @ strategy.B.T
        return told

    def mean(self, state: State) -> Array | None:
        """The mean of the numbers, and of the indicators, which are on where they are probably on."""
        binary = state.arrays["binary"] > 0
        centre = np.empty(len(binary))
        centre[binary] = state.arrays["probability"]
        if not binary.all():
            centre[~binary] = state.arrays["centroid"]
        return centre

    def deviations(self, state: State) -> Array:
        """Of the genes that are numbers."""
        if "diagD" not in state.arrays:
            return np.empty(0)
        return np.asarray(state.scalars["sigma"] * state.arrays["diagD"])

    def _learn(
        self, known: dict[str, Array], trust: dict[str, Any], bits: NDArray[np.bool_]
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """The next probabilities of the indicators; `bits` are those of the candidates, best first."""
        probability, count = known["probability"], bits.shape[1]
        better = len(bits) // 2
        weights = np.log((len(bits) + 1) / 2) - np.log(np.arange(1, better + 1))
        weights /= weights.sum()
        gradient = weights @ (bits[:better] - probability)
        # in units of the root of the Fisher information
        scaled = gradient / np.sqrt(probability * (1 - probability))
        length = float(np.linalg.norm(scaled)) + 1e-30
        moved = self._kept(probability + trust["delta"] / length * gradient)
        delta = 1 / trust["growth"]
        beta = delta / math.sqrt(count)
        path = (1 - beta) * known["path"] + math.sqrt(beta * (2 - beta)) * scaled / length
        weight = (1 - beta) ** 2 * trust["weight"] + beta * (2 - beta)
        growth = trust["growth"] * math.exp(beta * (weight - float(path @ path) / ALPHA))
        return (
            {**known, "probability": moved, "path": path},
            {**trust, "delta": delta, "growth": growth, "weight": weight},
        )

    def _kept(self, probability: Array) -> Array:
        """Probabilities that leave both values the margin."""
        if not len(probability):
            return probability
        margin = self.margin or 1 - 0.73 ** (1 / len(probability))
        return np.clip(probability, margin, 1 - margin)


def _of_paper(strategy: Any) -> Any:
    """DEAP's strategy with the paper's rates of both paths, which are Hansen's later ones (arXiv 1604.00772)."""
    n, mueff = strategy.dim, strategy.mueff
    strategy.cs = (mueff + 2) / (n + mueff + 5)
    strategy.cc = (4 + mueff / n) / (n + 4 + 2 * mueff / n)
    strategy.damps = 1 + 2 * max(0.0, math.sqrt((mueff - 1) / (n + 1)) - 1) + strategy.cs
    return strategy


def _joined(normal: State, known: dict[str, Array], trust: dict[str, Any]) -> State:
    return State(normal.kind, {**normal.arrays, **known}, {**normal.scalars, **trust})
