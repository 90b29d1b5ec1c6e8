"""Differential evolution that adapts its own settings: SHADE.

Tanabe and Fukunaga, "Success-History Based Parameter Adaptation for Differential Evolution", CEC 2013:
current-to-pbest/1/bin with an archive of those that were replaced (JADE, Zhang and Sanderson, IEEE
Transactions on Evolutionary Computation 13(5), 2009). Each member of the population has one trial in a
generation, which takes its place if it is no worse. A gene outside its range is put half-way between its
target's and the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.scores import Scores, weighted_sum
from tsugiki.keyed import generator
from tsugiki.strategies.state import Array, State
from tsugiki.strategies.strategy import (
    FIRST_SPREAD,
    Asked,
    Living,
    Strategy,
    about,
    first_mean,
    key_of,
)

MEMORY = 6
"""Entries of the memory of settings that did well: as many as in L-SHADE (Tanabe and Fukunaga, CEC 2014)."""

_BEST = 0.2


class DifferentialEvolution(Strategy):
    """Differential evolution with adapted settings (SHADE, Tanabe and Fukunaga 2013)."""

    keeps: ClassVar[bool] = True

    kind: Literal["de"]
    """Differential evolution."""
    population: Annotated[int, Field(ge=4)] = 24
    """Candidates in a generation."""

    def initial(self, start: Array, kinds: GeneKinds | None = None) -> State:
        """No population yet. Indicators are numbers, at first as probable as the start says."""
        binary = (kinds or GeneKinds.numbers(len(start))).binary
        settings = np.full(MEMORY, 0.5)
        arrays = {
            "start": first_mean(start, binary, FIRST_SPREAD),
            "archive": np.empty((0, len(start))),
            "memory_f": settings,
            "memory_cr": settings,
        }
        return State(self.kind, arrays, {"generation": 0, "place": 0})

    def ask(self, state: State, key: Sequence[str | int]) -> list[Asked]:
        """A trial for each member: towards one of the best, plus a difference, crossed with the member."""
        if "genomes" not in state.arrays:
            return [Asked(one) for one in about(state.arrays["start"], self.population, key)]
        genomes, pool = state.arrays["genomes"], self.living(state).genomes
        count, genes = genomes.shape
        ranked = np.argsort(-state.arrays["fitness"], kind="stable")
        scale, rate = _settings(state)
        draws = generator(*key)
        asked = []
        for index, target in enumerate(genomes):
            best = ranked[draws.integers(max(2, round(count * draws.uniform(0, _BEST))))]
            one = draws.choice(np.delete(np.arange(count), index))
            other = draws.choice(np.delete(np.arange(len(pool)), [index, one]))
            moved = target + scale[index] * (genomes[best] - target + genomes[one] - pool[other])
            crossed = draws.random(genes) < rate[index]
            crossed[draws.integers(genes)] = True
            trial = np.where(crossed, moved, target)
            trial = np.where(trial < 0, target / 2, np.where(trial > 1, (1 + target) / 2, trial))
            parents = sorted({int(at) for at in (index, best, one, other)})
            asked.append(Asked(trial, tuple(parents)))
        return asked

    def living(self, state: State) -> Living:
        """The population, and the archive of those that were replaced."""
        archive = state.arrays["archive"]
        genomes = state.arrays.get("genomes", archive[:0])
        told = state.arrays.get("told", np.empty(0))
        told = np.concatenate([told, np.full(len(archive), -1.0)])
        return Living(np.concatenate([genomes, archive]), told)

    def tell(self, state: State, genomes: Array, scores: Scores) -> State:
        """Trials that are no worse take their targets' places, and the memory learns their settings."""
        fitness = np.where(scores.failed, -np.inf, weighted_sum(scores))
        arrays = dict(state.arrays)
        place, generation = state.scalars["place"], state.scalars["generation"] + 1
        if "genomes" in arrays:
            targets, before = arrays["genomes"], arrays["fitness"]
            better, kept = fitness > before, (fitness >= before) & ~scores.failed
            if better.any():
                unknown = np.full(len(before), np.nan)  # where the target had failed
                gain = np.subtract(fitness, before, out=unknown, where=np.isfinite(before))[better]
                known = gain[np.isfinite(gain)]
                gain = np.nan_to_num(gain, nan=known.max() if len(known) else 1.0)
                scale, rate = (one[better] for one in _settings(state))
                arrays["memory_f"] = arrays["memory_f"].copy()
                arrays["memory_cr"] = arrays["memory_cr"].copy()
                arrays["memory_f"][place] = (gain * scale**2).sum() / (gain * scale).sum()
                arrays["memory_cr"][place] = (gain * rate).sum() / gain.sum()
                place = (place + 1) % MEMORY
            archive = np.concatenate([arrays["archive"], targets[better]])
            if len(archive) > len(genomes):
                draws = generator(*key_of(genomes))
                archive = archive[np.sort(draws.permutation(len(archive))[: len(genomes)])]
            arrays["archive"] = archive
            told = np.where(kept, np.arange(len(genomes)), -1.0)
            genomes = np.where(kept[:, None], genomes, targets)
            fitness = np.where(kept, fitness, before)
        else:
            told = np.arange(len(genomes), dtype=np.float64)
        arrays |= {"genomes": genomes, "fitness": fitness, "told": told}
        return State(self.kind, arrays, {"generation": generation, "place": place})


def _settings(state: State) -> tuple[Array, Array]:
    """Scale factor and crossover rate of each trial, shape (population,).

    They depend on the state alone, so that `tell` knows what `ask` drew.
    """
    count = len(state.arrays["genomes"])
    draws = generator(*key_of(state.arrays["genomes"]), state.scalars["generation"])
    slot: NDArray[np.int64] = draws.integers(MEMORY, size=count)
    scale = np.zeros(count)
    while (scale <= 0).any():  # Cauchy, drawn again where it is not positive
        drawn = state.arrays["memory_f"][slot] + 0.1 * draws.standard_cauchy(count)
        scale = np.where(scale > 0, scale, np.minimum(drawn, 1.0))
    rate = np.clip(draws.normal(state.arrays["memory_cr"][slot], 0.1), 0.0, 1.0)
    return scale, rate
