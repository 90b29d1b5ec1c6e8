"""CycleQD: quality diversity with an archive for each objective, whose roles rotate.

Kuroki, Nakamura, Akiba and Tang, "Agent Skill Acquisition for Large Language Models via CycleQD", ICLR
2025 (arXiv 2410.14735), section 3. In an archive the values of the other objectives are divided into cells,
as in MAP-Elites (Mouret and Clune, arXiv 1504.04909), and the best candidate of each cell lives. The
parents of a generation come from one archive, those of the next from another. Two parents are
crossed by task arithmetic: a child's task vector is a weighted mean of theirs. Where genes are factors of
task vectors, that is the weighted mean of genomes.

The paper mutates the singular components of task vectors. Genes that scale them are those of the merge
method `svd_task_arithmetic`; a mutation of any gene is a normal step. Cells of the paper divide ranges
that a user gives; here they divide what has been seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores, nondominated
from tsugiki.keyed import generator
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import FIRST_SPREAD, Asked, Strategy, about, first_mean

LEAST, MOST = 0.5, 0.8
"""Range of the factor that each objective contributes to a parent's probability (the paper's alpha_low, alpha_high)."""


class CycleQd(Strategy):
    """CycleQD: quality diversity, with an archive for each objective whose cells divide the other objectives' values."""

    weighs: ClassVar[bool] = False
    keeps: ClassVar[bool] = True

    kind: Literal["cycle_qd"]
    """Quality diversity."""
    population: Annotated[int, Field(ge=2)] = 24
    """Candidates in a generation."""
    cells: Annotated[int, Field(ge=1)] = 10
    """Number of cells along each of the other objectives, from its worst to its best value so far."""
    crossover: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Standard deviation of the two parents' weights in a child, which are normal about 1."""
    mutation: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Standard deviation of the normal step on each gene of a child, in units of its range."""

    def faults(self, objectives: int, genes: int | None = None) -> Iterator[str]:
        """It needs at least two objectives: the cells of each are made by the others."""
        del genes
        if objectives < 2:
            yield f"{self.kind} is for several objectives; use `genetic`, or add an objective"

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """Empty archives. Indicators are numbers, at first as probable as the start says."""
        binary = (kinds or GeneKinds.numbers(len(start))).binary
        return State(
            self.kind, {"start": first_mean(start, binary, FIRST_SPREAD)}, {"generations": 0}
        )

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """Children of pairs from the archive of the objective whose turn it is."""
        if not len(state.arrays.get("genomes", ())):
            return [Asked(one) for one in about(state.arrays["start"], self.population, key)]
        values = state.arrays["values"]
        quality = state.scalars["generations"] % values.shape[1]
        archive = self._archives(state)[quality]
        genomes, chances = state.arrays["genomes"], chance(values[archive])
        random = generator(*key)
        asked = []
        for _ in range(self.population):
            size = min(2, len(archive))
            pair = archive[random.choice(len(archive), size, replace=False, p=chances)]
            weights = np.abs(random.normal(1.0, self.crossover, size))
            child = weights @ genomes[pair] / weights.sum()
            child += self.mutation * random.standard_normal(len(child))
            asked.append(Asked(np.clip(child, 0.0, 1.0), tuple(int(one) for one in pair)))
        return asked

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Offer the candidates to every archive, except for those that failed or were eliminated at a rung."""
        pool = self._pool(state, genomes, scores)
        kept = np.unique(np.concatenate(self._archives(pool)))
        before = pool.arrays
        arrays = {**before, **{name: before[name][kept] for name in ("genomes", "values", "told")}}
        return State(self.kind, arrays, {"generations": state.scalars["generations"] + 1})

    def best(self, scores: Scores, count: int) -> list[int]:
        """Of those whom no other dominates the best of each cell: the best of each archive, and so on."""
        known = np.flatnonzero(~scores.failed)
        front = known[nondominated(scores.values[known])]
        values = scores.values[front]
        found = archives(values, extent(values), self.cells)
        best_first = [
            one[np.argsort(-values[one, quality], kind="stable")]
            for quality, one in enumerate(found)
        ]
        rounds = (int(one) for row in zip_longest(*best_first, fillvalue=-1) for one in row)
        return [int(front[one]) for one in dict.fromkeys(rounds) if one >= 0][:count]

    def progress(self, state: State, scores: Scores, generation: int) -> dict[str, float | None]:
        """A candidate is better than all before if it is the best of a cell of some archive."""
        genomes = np.zeros((len(scores.failed), len(state.arrays["start"])))
        pool = self._pool(state, genomes, scores)
        new = pool.arrays["told"][np.concatenate(self._archives(pool))] >= 0
        last = state.scalars["best_generation"]
        return {"best": None, "best_generation": generation if new.any() else last}

    def _pool(self, state: State, genomes: Array, scores: Scores) -> State:
        """Those that live, then those that were scored, with the extent of all values so far."""
        whole = np.flatnonzero(scores.whole)
        new = {
            "genomes": genomes[whole],
            "values": scores.values[whole],
            "told": whole.astype(np.float64),
        }
        if "values" in state.arrays:
            before = {**state.arrays, "told": np.full(len(state.arrays["told"]), -1.0)}
            new = {name: np.concatenate([before[name], new[name]]) for name in new}
        seen = [state.arrays["extent"]] if "extent" in state.arrays else []
        seen.append(new["values"])
        return State(self.kind, {"start": state.arrays["start"], **new, "extent": extent(*seen)})

    def _archives(self, state: State) -> list[NDArray[np.int64]]:
        return archives(state.arrays["values"], state.arrays["extent"], self.cells)


def extent(*values: Array) -> Array:
    """The worst and the best of each objective; shape (2, objectives), or (0, objectives) of nobody.

    Args:
        values: Each of shape (candidates, objectives).
    """
    together = np.concatenate(values)
    return np.array([together.min(axis=0), together.max(axis=0)]) if len(together) else together


def archives(values: Array, between: Array, cells: int) -> list[NDArray[np.int64]]:
    """The best of each cell, in an archive for each objective.

    Args:
        values: shape (candidates, objectives), larger is better.
        between: shape (2, objectives): between which values each objective is divided.
        cells: Into how many cells each objective is divided.

    Returns:
        For each objective the indices of those that are best at it in their cells, which the other
        objectives make; in their order. Of equals the first one is the best.
    """
    if not len(values):
        return [np.empty(0, dtype=np.int64) for _ in range(values.shape[1])]
    low, size = between[0], np.ptp(between, axis=0)
    along = cells * (values - low) / np.where(size > 0, size, 1.0)
    cell = np.clip(np.floor(along), 0, cells - 1).astype(np.int64)
    found = []
    for quality in range(values.shape[1]):
        order = np.argsort(-values[:, quality], kind="stable")
        others = np.delete(cell, quality, axis=1)[order]
        found.append(np.sort(order[np.unique(others, axis=0, return_index=True)[1]]))
    return found


def chance(values: Array) -> Array:
    """With which probability each elite is a parent: the better on all objectives, the likelier.

    The product over objectives of LEAST + (MOST - LEAST) * (f - worst) / (best - worst), over its sum.

    Args:
        values: shape (elites, objectives), larger is better.

    Returns:
        shape (elites,), sum 1.
    """
    size = np.ptp(values, axis=0)
    place = np.where(size > 0, (values - values.min(axis=0)) / np.where(size > 0, size, 1.0), 1.0)
    merit = np.prod(LEAST + (MOST - LEAST) * place, axis=1)
    return np.asarray(merit / merit.sum())
