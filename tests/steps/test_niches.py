"""A strategy that is told of every document: what is read, by how many jobs it was made, and what if it changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs_for_tests import TinyRun, evaluation_section, raw_config, start_run
from tsugiki.audit.audit import audit
from tsugiki.contracts.ledger import read_generation
from tsugiki.contracts.outcome import Scored, is_whole
from tsugiki.errors import LineageError
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.steps.audit import reselect
from tsugiki.steps.evolution import write_next, write_promotion, write_ranked
from tsugiki.steps.past import by_document
from tsugiki.steps.start import write_first
from tsugiki.strategies.rungs.rule import NoneLeft, Standing
from tsugiki.strategies.state import read_state

QUIET: Any = lambda _line: None  # noqa: E731


def leave_the_first(_rule: NoneLeft, standing: Standing) -> list[str | None]:
    """A rule that leaves one candidate."""
    return ["the first", *[None] * (len(standing.scores.failed) - 1)]


@pytest.fixture(autouse=True)
def _a_rule_that_leaves_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NoneLeft, "left", leave_the_first)


@pytest.fixture
def run(tiny_models: Path, tiny_tasks: Path, tmp_path: Path) -> TinyRun:
    """A generation that was scored in two rungs, and the one that follows."""
    section = evaluation_section(tiny_tasks, rungs={"documents": [2, 8], "rule": "none"})
    raw = raw_config(tiny_models, tiny_tasks, tmp_path, evaluation=section)
    raw["stages"][0] |= {
        "strategy": {"kind": "natural_niches", "population": 4},
        "budget": {"generations": 1},
    }
    found = start_run(raw)
    (stage,) = found.config.stages
    write_first(found.files, found.config, stage)
    evaluator = ShardEvaluator(found.files, found.config, job=0)
    evaluator.evaluate("ps", 0, rung=0, log=QUIET)
    write_promotion(found.files, found.config, stage, 0, 0, log=QUIET)
    evaluator.evaluate("ps", 0, log=QUIET)
    write_ranked(found.files, found.config, "ps", 0, log=QUIET)
    write_next(found.files, found.config, stage, 0)
    return found


def test_the_documents_told_are_those_that_scores_are_made_of(run: TinyRun) -> None:
    """Their mean is the outcome's value; nothing is told of who was left, and it does not live on."""
    phase, objectives = run.files.phase("ps"), run.config.evaluation.objectives
    entry = read_generation(phase.generation(0).outcomes)
    found = by_document(phase, entry, objectives)
    assert found.shape == (4, 8, len(objectives))
    whole = [is_whole(one.outcome) for one in entry.ranked]
    assert whole == [False, True, True, True]
    assert np.isnan(found[0]).all()
    for ranked, table in zip(entry.ranked[1:], found[1:], strict=True):
        assert isinstance(ranked.outcome, Scored)
        values = [ranked.outcome.measured[one.name].value for one in objectives]
        assert table.mean(axis=0) == pytest.approx(values)
    state = read_state(phase.generation(1).state)
    assert state.arrays["told"].tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(state.arrays["solved"], found[1:])


def test_the_audit_draws_the_generation_from_the_same_records(run: TinyRun) -> None:
    """And finds nothing; nor does it draw anything from records that have changed."""
    again = reselect(run.files, run.config)
    assert audit(run.files, run.config, reselect=again) == []
    phase = run.files.phase("ps")
    changed, other = (
        phase.candidate(one.recipe).items
        for one in read_generation(phase.generation(0).outcomes).ranked[1:3]
    )
    changed.write_bytes(other.read_bytes())
    with pytest.raises(LineageError, match="has changed since it was ranked") as caught:
        write_next(run.files, run.config, run.config.stages[0], 0)
    assert caught.value.where == str(changed)
    assert any(
        "has changed since it was ranked" in str(one)
        for one in audit(run.files, run.config, reselect=again)
    )
