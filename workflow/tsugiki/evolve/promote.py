"""Deciding which candidates of a generation go on from a rung: a pure function of what is recorded of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tsugiki.canonical import digest_bytes, digest_file
from tsugiki.config.evaluation import Objective
from tsugiki.config.items import Rungs
from tsugiki.contracts.layout import GenerationFiles, PhaseFiles
from tsugiki.contracts.ledger import read_outcome, read_population
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.contracts.rungs import Judged, Promotion, left_at
from tsugiki.contracts.samples import read_by_document
from tsugiki.contracts.scores import Scores, scores_of
from tsugiki.errors import LineageError
from tsugiki.strategies.rungs.rule import Standing
from tsugiki.strategies.strategy import Strategy

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AtRung:
    """A candidate at a rung, as recorded."""

    recipe: str
    outcome: Scored | Failed
    digest: str
    """SHA-256 of its outcome.json."""
    by_document: Floats | None
    """Shape (documents, objectives): each document's own number, NaN where it is none; None if it
    failed."""


def promotion(
    phase: PhaseFiles,
    files: GenerationFiles,
    rung: int,
    rungs: Rungs,
    objectives: Sequence[Objective],
    strategy: Strategy,
) -> Promotion:
    """Decide from the files of a generation; writes nothing.

    The rung, numbered from 0, has been scored, and is not the last one.

    Raises:
        EvaluationError: the rule cannot judge such scores.
        LineageError: a file is missing, or files contradict each other.
    """
    population = read_population(files.population)
    left = left_at(files, range(rung))
    recipes = dict.fromkeys(one.recipe for one in population.candidates)
    found = [_read(phase, recipe, rung, objectives) for recipe in recipes if recipe not in left]
    reasons = decide(found, rung, rungs, objectives, strategy, len(recipes))
    return Promotion(
        run=population.run,
        phase=population.phase,
        generation=population.generation,
        rung=rung,
        population=digest_bytes(files.population.read_bytes()),
        candidates=tuple(
            Judged(recipe=one.recipe, outcome=one.digest, left=reason)
            for one, reason in zip(found, reasons, strict=True)
        ),
    )


def decide(
    found: Sequence[AtRung],
    rung: int,
    rungs: Rungs,
    objectives: Sequence[Objective],
    strategy: Strategy,
    candidates: int,
) -> list[str | None]:
    """Why each candidate is left at a rung; None for those that go on.

    `found` are those that have come so far, of so many `candidates` that the generation began with.

    Raises:
        EvaluationError: the rule cannot judge such scores.
    """
    if not found:
        return []
    signs = np.array([one.sign for one in objectives])
    known = [one.by_document for one in found if one.by_document is not None]
    nothing = np.full(known[0].shape if known else (0, len(objectives)), np.nan)
    tables = [nothing if one.by_document is None else one.by_document for one in found]
    scores = scores_of((one.outcome for one in found), objectives)
    standing = Standing(
        rung=rung,
        documents=tuple(rungs.documents),
        candidates=candidates,
        scores=scores,
        order=tuple(best_first(strategy, scores)),
        by_document=signs * np.stack(tables),
        weighs=strategy.weighs,
    )
    decided = rungs.rule.left(standing)
    return [
        f"failed: {one.outcome.kind}" if isinstance(one.outcome, Failed) else reason
        for one, reason in zip(found, decided, strict=True)
    ]


def best_first(strategy: Strategy, scores: Scores) -> list[int]:
    """Candidates that did not fail, as a strategy prefers them: front after front, if it looks for one."""
    left = np.flatnonzero(~scores.failed)
    order: list[int] = []
    while len(left):
        rest = replace(scores, values=scores.values[left], failed=scores.failed[left])
        best = strategy.best(rest, len(left))
        order.extend(left[best].tolist())
        left = np.delete(left, best)
    return order


def _read(phase: PhaseFiles, recipe: str, rung: int, objectives: Sequence[Objective]) -> AtRung:
    place = phase.candidate(recipe).at(rung)
    outcome = read_outcome(place.outcome)
    if (outcome.recipe, outcome.rung) != (recipe, rung):
        raise LineageError(
            "an outcome belongs to another recipe or rung",
            where=str(place.outcome),
            expected=f"{recipe}, rung {rung}",
            got=f"{outcome.recipe}, rung {outcome.rung}",
            fix="remove the file and run again",
        )
    by_document = None
    if isinstance(outcome, Scored):
        by_document = read_by_document(place.items, [one.name for one in objectives])
    return AtRung(recipe, outcome, digest_file(place.outcome), by_document)
