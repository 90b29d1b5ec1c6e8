"""Who reaches the finals, and who wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tsugiki.config.evaluation import Objective
from tsugiki.config.stage import Stage
from tsugiki.contracts.layout import EVOLVED
from tsugiki.contracts.outcome import Scored, is_whole
from tsugiki.contracts.population import Candidate, Generation, Population, Ranked
from tsugiki.contracts.scores import scores_of
from tsugiki.errors import EvaluationError


def best_distinct(
    history: Sequence[Generation], count: int, stage: Stage, objectives: Sequence[Objective]
) -> list[Ranked]:
    """The best candidates of a stage, each recipe once, as its strategy sees them.

    Where each generation has documents of its own, they are compared by the mean over all documents that they
    were asked, and those that only one generation asked, some of whom were lucky, come after all others.

    Args:
        history: Its generations; the earliest of equals goes first.
        count: Most candidates.
        stage: The stage.
        objectives: What candidates are scored by, with their goals.
    """
    found: dict[str, Ranked] = {}
    last: dict[str, Scored] = {}
    for generation in history:
        for entry in generation.ranked:
            if is_whole(entry.outcome):
                found.setdefault(entry.recipe, entry)
                last[entry.recipe] = entry.outcome
    chosen: list[Ranked] = []
    for often in (True, False):
        recipes = [recipe for recipe, one in last.items() if (one.times > 1) is often]
        scores = scores_of((last[recipe].overall for recipe in recipes), objectives)
        best = stage.strategy.best(scores, count - len(chosen)) if recipes else []
        chosen += [found[recipes[index]] for index in best]
    return chosen


def finalist_population(
    run: str, chosen: Sequence[Ranked], mean: str | None, *, phase: str = "finalists"
) -> Population:
    """The finalists of a stage, to be scored on the validation items.

    Args:
        run: The run's name.
        chosen: The best candidates.
        mean: Recipe digest of the strategy's final mean, if it has one.
        phase: The stage's phase of finalists.
    """
    rows = [(f"candidate {entry.id}", entry.recipe) for entry in chosen]
    if mean is not None and mean not in {recipe for _, recipe in rows}:
        rows.append(("final mean", mean))
    named = [(name, "finalist", recipe) for name, recipe in rows]
    return _population(run, phase, named, split="validation")


def winner(finals: Generation) -> Ranked:
    """The finalist whose objectives have the largest weighted sum on the validation items.

    Of equals, the one that searched better.

    Raises:
        EvaluationError: every finalist failed.
    """
    scored = [entry for entry in finals.ranked if entry.fitness is not None]
    if not scored:
        raise EvaluationError("every finalist failed on the validation items")
    return max(scored, key=lambda entry: entry.fitness or 0.0)


def held_out_population(
    run: str,
    finalists: Population,
    finals: Generation,
    baselines: dict[str, tuple[str, str]],
    stages: dict[str, str] | None = None,
) -> Population:
    """Everything that is scored on the test items, the winner first.

    Args:
        run: The run's name.
        finalists: The finalists.
        finals: Their validation outcomes.
        baselines: Kind and recipe digest by row name.
        stages: Recipe digest of the winner of each earlier stage, by the stage's name.
    """
    won = winner(finals)
    rows = [(EVOLVED, "evolved", won.recipe)]
    rows.extend(
        (str(candidate.origin["name"]), "finalist", candidate.recipe)
        for candidate in finalists.candidates
        if candidate.recipe != won.recipe
    )
    rows.extend((name, "stage", recipe) for name, recipe in (stages or {}).items())
    rows.extend((name, kind, recipe) for name, (kind, recipe) in baselines.items())
    return _population(run, "test", rows, split="test")


def _population(
    run: str,
    phase: str,
    rows: Sequence[tuple[str, str, str]],
    *,
    split: Literal["validation", "test"],
) -> Population:
    return Population(
        run=run,
        phase=phase,
        generation=0,
        split=split,
        previous=None,
        state=None,
        candidates=tuple(
            Candidate(
                id=f"000-{index:02d}",
                recipe=recipe,
                genome=(),
                origin={"name": name, "kind": kind},
            )
            for index, (name, kind, recipe) in enumerate(rows)
        ),
    )
