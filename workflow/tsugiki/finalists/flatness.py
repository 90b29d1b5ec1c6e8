"""Neighbours of the winner: how much small changes of its genes cost.

Where loss is flat, models generalise better (Hochreiter and Schmidhuber, "Flat minima", Neural Computation 9(1), 1997), and
what a search found owes less to the documents that it was found on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tsugiki.config.run import Flatness as Settings
from tsugiki.contracts.genome import GeneKinds
from tsugiki.contracts.layout import FLATNESS
from tsugiki.contracts.population import Generation, Population, Ranked
from tsugiki.finalists.choose import undrawn
from tsugiki.finalists.table import Flatness
from tsugiki.keyed import generator

Floats = npt.NDArray[np.float64]


def neighbours(
    genome: Floats, kinds: GeneKinds, count: int, step: float, key: Sequence[str | int]
) -> list[Floats]:
    """Points near to one: normal changes of all its numbers, moved into the unit cube.

    Indicators stay as they are, since no change of one is small; where there is nothing else, each neighbour has one of
    them changed.

    Args:
        genome: shape (genes,), in the unit cube.
        kinds: Which genes are indicators.
        count: How many.
        step: Standard deviation of a change.
        key: Of the draws.
    """
    found = []
    for index in range(count):
        random = generator(*key, index)
        moved = np.clip(genome + step * random.normal(size=len(genome)), 0.0, 1.0)
        one = np.where(kinds.binary, genome, moved)
        if kinds.binary.all():
            gene = int(random.integers(len(genome)))
            one[gene] = 1.0 - one[gene]
        found.append(one)
    return found


def neighbour_population(run: str, genomes: Sequence[Floats], recipes: Sequence[str]) -> Population:
    """Neighbours of the winner as a population that is scored on the validation items."""
    rows = (
        (recipe, {"name": f"neighbour {number}", "kind": "neighbour"})
        for number, recipe in enumerate(recipes, start=1)
    )
    return undrawn(run, FLATNESS, "validation", rows, [one.tolist() for one in genomes])


def flatness_of(
    settings: Settings, winner: Ranked, ranked: Generation, *, answers: int, tokens: int
) -> Flatness:
    """How much worse the neighbours are than the winner.

    Both are ranked on the validation items; `answers` and `tokens` are what the neighbours took.
    """
    assert winner.fitness is not None  # one that failed does not win
    losses = [winner.fitness - one.fitness for one in ranked.ranked if one.fitness is not None]
    return Flatness(
        step=settings.step,
        candidates=len(ranked.ranked),
        failed=len(ranked.ranked) - len(losses),
        mean=sum(losses) / len(losses) if losses else None,
        worst=max(losses, default=None),
        answers=answers,
        tokens=tokens,
    )
