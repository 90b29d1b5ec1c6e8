"""Checks of a stage's rungs: who went on, and by which records."""

from __future__ import annotations

from collections.abc import Iterator

from tsugiki.audit.finding import Finding, place
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import entries
from tsugiki.contracts.rungs import Promotion, read_promotion
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.evolve.promote import promotion


def check_rungs(files: RunFiles, phase: str, config: RunConfig) -> Iterator[Finding]:
    """Each decision after a rung is made again from the records, and is what was written."""
    evaluation = decided_evaluation(config, files.items)
    stage = config.stage(phase)
    if evaluation.rungs is None or stage is None:
        return
    folder = files.phase(phase)
    for entry in entries(folder):
        if entry.outcomes is None or not entry.outcomes.ranked:
            continue
        for rung, _ in enumerate(evaluation.rungs.documents[:-1]):
            path = entry.files.promotion(rung)
            again = promotion(
                folder,
                entry.files,
                rung,
                evaluation.rungs,
                evaluation.objectives,
                stage.strategy,
            )
            yield from _differences(again, read_promotion(path), place(files, path))


def _differences(again: Promotion, written: Promotion, where: str) -> Iterator[Finding]:
    if again != written:
        left = [
            {one.recipe[:12]: one.left for one in found.candidates} for found in (again, written)
        ]
        yield Finding("another decision follows from the rung's records", where, *map(str, left))
