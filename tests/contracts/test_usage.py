"""What a search has used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.synthetic_runs import SyntheticRun
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import scored_generations
from tsugiki.contracts.outcome import Failed, Measured, Outcome, Scored, SoFar
from tsugiki.contracts.population import Generation, Ranked
from tsugiki.contracts.usage import Used, generated_tokens, scoring_hours, used

ZERO = "0" * 64


def scored(recipe: str, rung: int | None = None, **items: int) -> Scored:
    """An outcome on so many documents for each objective."""
    measured = {name: Measured(value=0.5, items=count) for name, count in items.items()}
    return Scored(
        recipe=recipe, evaluation=ZERO, measured=measured, rates={}, weights=ZERO, records=ZERO,
        rung=rung,
    )  # fmt: skip


def ranked(*outcomes: Outcome) -> Generation:
    """A generation with these outcomes."""
    entries = tuple(
        Ranked(id=f"000-{place:02d}", recipe=one.recipe, fitness=None, outcome=one)
        for place, one in enumerate(outcomes)
    )
    return Generation(run="r", phase="ps", generation=0, population=ZERO, ranked=entries)


def test_a_recipe_counts_once_and_objectives_of_one_task_share_their_answers() -> None:
    """Rungs count as far as a candidate came; failures count as models."""
    failed = Failed(recipe="c", evaluation=ZERO, kind="model", reason="NaN")
    history = [
        ranked(scored("a", exact=200, language=200, maths=50), scored("b", 0, exact=20, maths=5)),
        ranked(scored("a", exact=200, language=200, maths=50), failed),
    ]
    tasks = {"exact": "words", "language": "words", "maths": "sums"}
    assert used(history, tasks) == Used(evaluations=3, answers=250 + 25)


def test_answers_of_a_candidate_that_comes_again_add_up() -> None:
    """Five documents of its first generation and four more of the next."""

    def again(times: int, items: int) -> Scored:
        so_far = SoFar(generations=times, measured=scored("a", exact=items).measured)
        return scored("a", exact=5).model_copy(update={"so_far": so_far})

    history = [ranked(again(1, 5)), ranked(again(2, 9))]
    assert used(history, {"exact": "words"}) == Used(evaluations=1, answers=9)


def test_tokens_and_hours_come_from_the_records(tmp_path: Path) -> None:
    """Each synthetic answer has nine tokens; hours are those of the cost files."""
    run = SyntheticRun(RunFiles(tmp_path / "run"), generations=2, population=4, second=True)
    run.write_stage(failing=["001-03"])
    phase = run.files.phase("ps")
    history = scored_generations(phase)
    tasks = {one.name: one.task for one in run.config.evaluation.measured}
    assert used(history, tasks) == Used(evaluations=8, answers=7 * 2 * run.items)
    assert generated_tokens(phase, history, tasks) == 7 * 2 * run.items * 9
    assert scoring_hours(phase, history) == pytest.approx(8 * 1.75 / 3600, abs=8 * 0.25 / 3600)
