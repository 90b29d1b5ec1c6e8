"""MO-CMA-ES on DEAP's implementation: a front, by search distributions that adapt to it.

Igel, Hansen and Roth, "Covariance Matrix Adaptation for Multi-objective Optimization", Evolutionary
Computation 15(1), 2007, with the step size of Voss, Hansen and Igel, GECCO 2010. Each survivor has a
normal distribution of its own and one child in a generation; survivors are chosen front by front, and of
the last front that fits in part, by what they add to the dominated volume. A candidate outside the unit
cube is scored at the nearest point inside and pays a little for its squared distance (Igel et al.,
section 4.1.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from deap import cma
from numpy.typing import NDArray
from pydantic import Field

from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores
from tsugiki.keyed import generator
from tsugiki.strategies.pareto import Individual, Pareto
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import Asked, clip, first_mean

MOST_GENES = 300
"""Two matrices for each of 24 survivors put 35 MB into a state."""

_OUTSIDE = 1e-6
_ADAPTED = ("sigmas", "A", "invCholesky", "pc", "psucc")


class MoCmaEs(Pareto):
    """MO-CMA-ES: the front of several objectives, with a search distribution for each survivor."""

    most_genes: ClassVar[int | None] = MOST_GENES
    learns: ClassVar[str] = "all their covariances for each survivor"
    instead: ClassVar[str] = "`nsga2`"

    kind: Literal["mo_cma_es"]
    """MO-CMA-ES (Igel, Hansen and Roth 2007)."""
    population: Annotated[int, Field(ge=2)] = 24
    """Candidates in a generation, and survivors."""
    sigma: Annotated[float, Field(gt=0, le=1)] = 1 / 6
    """First step size, in units of the genes' ranges."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """No survivors yet. Indicators are numbers, at first as probable as the start says."""
        binary = (kinds or GeneKinds.numbers(len(start))).binary
        return State(self.kind, {"start": first_mean(start, binary, self.sigma)})

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """A child of each survivor, or of some of them two; at first draws about the start."""
        known, start = state.arrays, state.arrays["start"]
        noise = generator(*key).standard_normal((self.population, len(start)))
        if not len(known.get("genomes", ())):
            return [Asked(start + self.sigma * row) for row in noise]
        parents = self._parents(state)
        steps = known["sigmas"][parents, None] * np.einsum("pij,pj->pi", known["A"][parents], noise)
        return [
            Asked(known["genomes"][parent] + step, (int(parent),))
            for parent, step in zip(parents, steps, strict=True)
        ]

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Select survivors; step sizes and covariances follow who of parents and children lives."""
        outside = ((genomes - clip(genomes)) ** 2).sum(axis=1)
        values = scores.values - _OUTSIDE * outside[:, None]
        first = not len(state.arrays.get("genomes", ()))
        parents = np.arange(len(genomes)) if first else self._parents(state)
        children = [
            _Member(genome, row, at, "o", int(parent))
            for at, (genome, row, parent) in enumerate(zip(genomes, values, parents, strict=True))
        ]
        scored = [one for one in children if not scores.failed[one.at]]
        if first:
            return self._frozen(state, _Surviving(scored, self.sigma)) if scored else state
        strategy = _thawed(state, self.population)
        strategy.failed = [one for one in children if scores.failed[one.at]]
        strategy.update(scored)
        return self._frozen(state, strategy)

    def _parents(self, state: State) -> NDArray[np.int64]:
        """Index of each child's parent: one after another."""
        return np.arange(self.population) % len(state.arrays["genomes"])

    def _frozen(self, state: State, strategy: _Surviving) -> State:
        survivors = strategy.parents
        arrays = {name: np.array(getattr(strategy, name), dtype=np.float64) for name in _ADAPTED}
        arrays["genomes"] = np.array(survivors)
        arrays["values"] = np.array([one.fitness.values for one in survivors])
        arrays["told"] = np.array([one.at for one in survivors], dtype=np.float64)
        return State(self.kind, {"start": state.arrays["start"], **arrays})


class _Member(Individual):
    """With what DEAP has to know: whether it is an offspring or a parent, and the index of its parent."""

    def __init__(self, genome: Array, values: Array, at: int, role: str, parent: int) -> None:
        super().__init__(genome, values, at)
        self._ps = role, parent


class _Surviving(cma.StrategyMultiObjective):  # type: ignore[misc]
    """With candidates that failed: they never live, and count against their parents' step sizes."""

    failed: Sequence[Individual] = ()

    def _select(self, candidates: list[Individual]) -> tuple[list[Individual], list[Individual]]:
        chosen, rest = super()._select(candidates)
        return chosen, [*rest, *self.failed]


def _thawed(state: State, survivors: int) -> _Surviving:
    rows = zip(state.arrays["genomes"], state.arrays["values"], strict=True)
    parents = [
        _Member(genome, values, -1, "p", index) for index, (genome, values) in enumerate(rows)
    ]
    strategy = _Surviving(parents, 1.0, mu=survivors)
    for name in _ADAPTED:
        setattr(strategy, name, list(np.array(state.arrays[name])))
    return strategy
