"""Checks of a stage's estimates: that they follow from the records."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tsugiki.audit.finding import Finding, place
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import entries
from tsugiki.evaluate.documents import decided_evaluation
from tsugiki.evolve.estimates import estimate

TOLERANCE = 1e-4
"""Linear algebra of another machine comes to other last bits, which an iterative fit makes more of."""


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
