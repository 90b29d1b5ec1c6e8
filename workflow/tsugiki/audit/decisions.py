"""Checks that decide again what a stage has decided: its generations, who went on from a rung, estimates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

from tsugiki.audit.finding import Finding, place
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import Entry, entries
from tsugiki.contracts.rungs import Promotion, read_promotion
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.evolve.estimates import estimate
from tsugiki.evolve.promote import promotion

Reselect = Callable[[Entry | None, Entry], str | None]
"""From two consecutive generations to the difference between the second and what selecting from
the first gives; None if there is none. Before the first generation of a phase there is None."""

TOLERANCE = 1e-4
"""Linear algebra of another machine comes to other last bits, which an iterative fit makes more of."""


def check_reselect(files: RunFiles, phase: str, reselect: Reselect) -> Iterator[Finding]:
    """Selecting again from each generation gives the next one, and starting again the first."""
    for first, second in pairwise([None, *entries(files.phase(phase))]):
        assert second is not None
        difference = reselect(first, second)
        if difference is not None:
            yield Finding(difference, place(files, second.files.population))


def check_rungs(files: RunFiles, phase: str, config: RunConfig) -> Iterator[Finding]:
    """Each decision after a rung is made again from the records, and is what was written."""
    evaluation = decided_evaluation(config, files.items)
    stage = config.stage(phase)
    if evaluation.rungs is None or stage is None:
        return
    folder = files.phase(phase)
    for entry in entries(folder):
        if not entry.ranked:
            continue
        for rung, _ in enumerate(evaluation.rungs.documents[:-1]):
            path = entry.files.promotion(rung)
            again = promotion(
                folder, entry.files, rung, evaluation.rungs, evaluation.objectives, stage.strategy
            )
            yield from _differences(again, read_promotion(path), place(files, path))


def _differences(again: Promotion, written: Promotion, where: str) -> Iterator[Finding]:
    if again != written:
        left = [
            {one.recipe[:12]: one.left for one in found.candidates} for found in (again, written)
        ]
        yield Finding("another decision follows from the rung's records", where, *map(str, left))


def check_estimates(files: RunFiles, phase: str, config: RunConfig) -> Iterator[Finding]:
    """What is estimated of each candidate is estimated again from the records, and is what was written."""
    stage = config.stage(phase)
    if stage is None:
        return
    config = config.model_copy(update={"evaluation": decided_evaluation(config, files.items)})
    for entry in entries(files.phase(phase)):
        if entry.outcomes is None:
            continue
        outcomes = {one.recipe: one.outcome for one in entry.outcomes.ranked}
        again = estimate(files, config, stage, entry.population, outcomes)
        for ranked in entry.outcomes.ranked:
            expected, got = again.get(ranked.recipe, {}), ranked.estimated or {}
            same = expected.keys() == got.keys() and all(
                math.isclose(expected[name], got[name], abs_tol=TOLERANCE) for name in expected
            )
            if not same:
                what = f"candidate {ranked.id} has another estimate"
                yield Finding(what, place(files, entry.files.outcomes), str(expected), str(got))
