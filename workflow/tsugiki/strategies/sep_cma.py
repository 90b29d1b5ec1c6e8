"""Separable CMA-ES, for thousands of genes: time and memory linear in their number.

Ros and Hansen, "A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity", PPSN 2008:
the learning rates of the diagonal covariance are (n + 2)/3 times those of the full matrix. Other
constants are those of DEAP's CMA-ES, which this equals for one gene and which has no diagonal form:
with 4,288 genes, each of its states would hold three matrices of 147 MB, and each step would decompose
one.

Genes may be out of use in some candidates. They then tell nothing: means and variances are learned from
the candidates that use a gene, and the step size from the genes that were in use. Indicators keep the
margin of `cma_es_margin`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.keyed import generator
from tsugiki.strategies.cma_es import boundary_penalty
from tsugiki.strategies.cma_es_margin import with_margin
from tsugiki.strategies.restarts import Restarting
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, first_mean, shorten


@dataclass(frozen=True)
class Constants:
    """Weights of the better half, and learning rates."""

    weights: Array
    """shape (population // 2,), sum 1."""
    cs: float
    cc: float
    c1: float
    cmu: float
    damps: float


def constants(genes: int, population: int) -> Constants:
    """Defaults for a number of genes and a size of population."""
    half = population // 2
    weights = math.log(half + 0.5) - np.log(np.arange(1, half + 1))
    weights /= weights.sum()
    mass = 1 / float((weights**2).sum())
    faster = (genes + 2) / 3
    c1 = min(1.0, faster * 2 / ((genes + 1.3) ** 2 + mass))
    cmu = faster * 2 * (mass - 2 + 1 / mass) / ((genes + 2) ** 2 + mass)
    cs = (mass + 2) / (genes + mass + 3)
    widening = max(0.0, math.sqrt((mass - 1) / (genes + 1)) - 1)
    return Constants(
        weights=weights,
        cs=cs,
        cc=4 / (genes + 4),
        c1=c1,
        cmu=min(1 - c1, cmu),
        damps=1 + 2 * widening + cs,
    )


def length(genes: int) -> float:
    """Expected norm of a standard normal vector (Hansen's approximation)."""
    return math.sqrt(genes) * (1 - 1 / (4 * genes) + 1 / (21 * genes**2))


@dataclass(frozen=True)
class Diagonal:
    """A normal distribution with independent genes, and the paths that adapt it."""

    mean: Array
    variance: Array
    """shape (genes,), in units of sigma squared."""
    pc: Array
    ps: Array
    sigma: float
    updates: int = 0

    @classmethod
    def start(cls, mean: Array, sigma: float) -> Diagonal:
        """Variance 1 everywhere, no paths yet."""
        zeros = np.zeros(len(mean))
        return cls(np.array(mean, dtype=np.float64), np.ones(len(mean)), zeros, zeros, sigma)

    @property
    def deviation(self) -> Array:
        """Standard deviation of each gene; shape (genes,)."""
        return np.asarray(self.sigma * np.sqrt(self.variance))

    def sample(self, count: int, generator: np.random.Generator) -> Array:
        """Draw candidates; shape (count, genes)."""
        return self.mean + self.deviation * generator.standard_normal((count, len(self.mean)))

    def shortened(self, genomes: Array) -> Array:
        """Injected candidates, moved towards the mean if they are far from it (see `shorten`)."""
        if not len(self.mean):
            return genomes
        return self.mean + shorten((genomes - self.mean) / self.deviation) * self.deviation

    def update(
        self, genomes: Array, fitness: Array, used: NDArray[np.bool_] | None = None
    ) -> Diagonal:
        """The distribution after a generation.

        Args:
            genomes: shape (population, genes).
            fitness: shape (population,), finite, larger is better; of equals the first leads.
            used: shape (population, genes): which genes had an effect; all if absent.
        """
        if not len(self.mean):
            return self
        known = constants(len(self.mean), len(genomes))
        best = np.argsort(-fitness, kind="stable")[: len(known.weights)]
        share = known.weights[:, None] * (1.0 if used is None else used[best])
        share = np.broadcast_to(share, (len(best), len(self.mean)))
        total = share.sum(axis=0)
        seen = total > 0
        divisor = np.where(seen, total, 1.0)
        steps = (genomes[best] - self.mean) / self.sigma
        step = (share * steps).sum(axis=0) / divisor
        # of one standard deviation under neutral selection, however many candidates use the gene
        evened = step * divisor / np.sqrt(np.where(seen, (share**2).sum(axis=0), 1.0))
        ps = (1 - known.cs) * self.ps + math.sqrt(known.cs * (2 - known.cs)) * evened / np.sqrt(
            self.variance
        )
        ps = np.where(seen, ps, self.ps)
        norm = float(np.linalg.norm(ps[seen])) / length(max(int(seen.sum()), 1))
        settled = math.sqrt(1 - (1 - known.cs) ** (2 * (self.updates + 1)))
        moving = float(norm / settled < 1.4 + 2 / (len(self.mean) + 1))
        pc = (1 - known.cc) * self.pc + moving * math.sqrt(known.cc * (2 - known.cc)) * evened
        cmu = known.cmu * total  # less from few candidates
        kept = 1 - known.c1 - cmu + (1 - moving) * known.c1 * known.cc * (2 - known.cc)
        spread = (share * steps**2).sum(axis=0) / divisor
        variance = kept * self.variance + known.c1 * pc**2 + cmu * spread
        growth = math.exp(min(1.0, (norm - 1) * known.cs / known.damps)) if seen.any() else 1.0
        return replace(
            self,
            mean=self.mean + self.sigma * step,
            variance=np.where(seen, variance, self.variance),
            pc=np.where(seen, pc, self.pc),
            ps=ps,
            sigma=self.sigma * growth,
            updates=self.updates + 1,
        )

    def arrays(self) -> dict[str, Array]:
        """For a state."""
        return {"mean": self.mean, "variance": self.variance, "pc": self.pc, "ps": self.ps}

    def scalars(self) -> dict[str, float | int]:
        """For a state."""
        return {"sigma": self.sigma, "updates": self.updates}

    @classmethod
    def of(cls, state: State) -> Diagonal:
        """From a state."""
        known, scalars = state.arrays, state.scalars
        arrays = known["mean"], known["variance"], known["pc"], known["ps"]
        return cls(*arrays, sigma=scalars["sigma"], updates=int(scalars["updates"]))


class SeparableCmaEs(Restarting):
    """CMA-ES with a diagonal covariance, for thousands of genes (Ros and Hansen 2008).

    Indicators, if there are any, keep a margin as in `cma_es_margin`.
    """

    forgets: ClassVar[bool] = True

    kind: Literal["sep_cma"]
    """Separable CMA-ES."""
    margin: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """Smallest probability of either value of an indicator; 1/(n times population) if absent."""

    def begin(
        self, start: Array, binary: NDArray[np.bool_], sigma: float, population: int
    ) -> State:
        """Independent genes of standard deviation `sigma` about the start."""
        mean = first_mean(start, binary, sigma)
        return self._state(Diagonal.start(mean, sigma), binary, population)

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Draw a generation from the normal distribution of the state."""
        distribution = Diagonal.of(state)
        count = state.scalars.get("size", state.scalars["population"])
        drawn = distribution.sample(count, generator(*key))
        return [Asked(genome) for genome in drawn]

    def learn(self, state: State, genomes: Array, scores: Scores) -> State:
        """Update mean, step and variances, then keep the margin of indicators."""
        distribution = Diagonal.of(state)
        binary, fitness = state.arrays["binary"] > 0, weighted_sum(scores)
        variance = distribution.deviation[~binary] ** 2
        penalty = boundary_penalty(genomes[:, ~binary], fitness, variance)
        updated = distribution.update(genomes, fitness - penalty)
        population = int(state.scalars["population"])
        probability = self.margin or 1 / (len(binary) * population)
        mean = with_margin(updated.mean, updated.deviation, binary, probability)
        return self._state(replace(updated, mean=mean), binary, population)

    def shape(self, state: State) -> tuple[Array, Array, Array]:
        """Mean and deviations: the axes are the genes."""
        distribution = Diagonal.of(state)
        return distribution.mean, distribution.deviation, distribution.deviation

    def injected(self, state: State, genomes: Array) -> Array:
        """Injected candidates, moved towards the mean if they are far from it."""
        return Diagonal.of(state).shortened(genomes)

    def _state(self, distribution: Diagonal, binary: NDArray[np.bool_], population: int) -> State:
        arrays = {**distribution.arrays(), "binary": binary.astype(np.float64)}
        return State(self.kind, arrays, {**distribution.scalars(), "population": population})
