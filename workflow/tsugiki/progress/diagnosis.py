"""What a search does, by generation: how far it looks, how far it moves, and how much of what it sees is signal.

From the ledger, the states of the strategy and the records of the documents alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsugiki.config.evaluation import Objective
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import PhaseFiles
from tsugiki.contracts.ledger import Entry
from tsugiki.contracts.spread import read_spread
from tsugiki.strategies.state import Array, State


@dataclass(frozen=True)
class Diagnosis:
    """One generation. Distances are for one gene, in units of its range: root mean squares over genes.

    None stands for what a strategy or a generation does not have.
    """

    number: int
    step: float | None = None
    """Standard deviation of the search distribution that the generation was drawn from."""
    condition: float | None = None
    """Condition number of its covariance: largest by smallest variance along an axis."""
    diversity: float | None = None
    """Mean distance of two candidates."""
    moved: float | None = None
    """From the centre of the generation before: the strategy's mean, or else that of the candidates."""
    signal: float | None = None
    """Share of the variance between candidates' scores that the choice of documents does not explain."""


def diagnose(
    phase: PhaseFiles, stage: Stage, found: Sequence[Entry], objectives: Sequence[Objective]
) -> list[Diagnosis]:
    """Look at consecutive generations of a stage; those without candidates are left out.

    Args:
        phase: The stage's files.
        stage: The stage.
        found: The generations; the first one's distance to what is before it is not known.
        objectives: What is optimised, with goals as decided.

    Raises:
        LineageError: a file of the run is damaged.
    """
    diagnoses: list[Diagnosis] = []
    before: Array | None = None
    for entry in found:
        if entry.outcomes is None or not entry.ranked:
            continue
        genomes = np.array([one.genome for one in entry.population.candidates], dtype=np.float64)
        genomes = np.clip(genomes, 0.0, 1.0)
        centre, deviations = _distribution(entry, stage)
        if centre is None:
            centre = genomes.mean(axis=0)
        seen = read_spread(phase, entry.outcomes, objectives)
        diagnoses.append(
            Diagnosis(
                number=entry.number,
                step=root_mean_square(deviations),
                condition=condition(deviations),
                diversity=diversity(genomes),
                moved=None if before is None else root_mean_square(centre - before),
                signal=None if seen is None else seen.signal,
            )
        )
        before = centre
    return diagnoses


def diversity(genomes: Array) -> float | None:
    """Mean over all pairs of the root mean square difference of two genomes, shape (population, genes).

    None for fewer than two.
    """
    count, genes = genomes.shape
    if count < 2 or not genes:
        return None
    distances = [
        np.sqrt(((genomes[index + 1 :] - one) ** 2).mean(axis=1))
        for index, one in enumerate(genomes)
    ]
    return float(np.concatenate(distances).mean())


def condition(deviations: Array) -> float | None:
    """Condition number of a covariance, from the standard deviations along its axes."""
    if not deviations.size or deviations.min() <= 0:
        return None
    return float((deviations.max() / deviations.min()) ** 2)


def root_mean_square(values: Array) -> float | None:
    """None for no values."""
    return math.sqrt(float((values**2).mean())) if values.size else None


def _distribution(entry: Entry, stage: Stage) -> tuple[Array | None, Array]:
    """Centre and deviations; nothing where the state cannot be read, which is for audits to say."""
    try:
        state = State.from_bytes(entry.files.state.read_bytes())
        mean, deviations = stage.strategy.mean(state), stage.strategy.deviations(state)
    except (OSError, ValueError):
        return None, np.empty(0)
    return None if mean is None else np.clip(mean, 0.0, 1.0), deviations
