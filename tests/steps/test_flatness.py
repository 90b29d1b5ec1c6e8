"""Neighbours of the winner, on files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs_for_tests import TinyRun, raw_config, start_run
from tsugiki.audit.audit import audit
from tsugiki.config.load import parse_config
from tsugiki.contracts.document_sets import read_document_sets
from tsugiki.contracts.layout import FINALISTS, FLATNESS, RunFiles
from tsugiki.contracts.ledger import entries, read_generation, read_population
from tsugiki.contracts.samples import read_samples
from tsugiki.finalists.files import load_flatness, read_winner
from tsugiki.steps.audit import reselect
from tsugiki.steps.estimate import shares
from tsugiki.steps.finals import write_flatness
from tsugiki.steps.plan import Plan
from tsugiki.strategies.state import read_state

NEIGHBOURS = 3


def configured(models: Path, tasks: Path, results: Path, **finalists: Any) -> dict[str, Any]:
    """One generation, and its winner's neighbours."""
    settings = {"top": 2, "flatness": {"candidates": NEIGHBOURS, "step": 0.1}, **finalists}
    raw = raw_config(models, tasks, results, baselines=[], finalists=settings)
    raw["stages"][0]["budget"] = {"generations": 1}
    return raw


@pytest.fixture(scope="module")
def scored(
    tiny_models: Path, tiny_tasks: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyRun:
    """A run as far as its winner's neighbours. Read only."""
    run = start_run(configured(tiny_models, tiny_tasks, tmp_path_factory.mktemp("flat")))
    run.search()
    write_flatness(run.files, run.config)
    run.score(FLATNESS)
    return run


def sound(run: TinyRun) -> list[str]:
    """What the audit finds."""
    again = reselect(run.files, run.config)
    return [str(one) for one in audit(run.files, run.config, reselect=again)]


def test_neighbours_are_near_to_the_winner_and_answer_validation_documents(
    scored: TinyRun,
) -> None:
    """Those alone: no document of the test is among them."""
    won = read_winner(scored.files.phase(FINALISTS)).recipe
    phase, flat = scored.files.phase("ps"), scored.files.phase(FLATNESS)
    drawn = {
        one.recipe: one.genome for entry in entries(phase) for one in entry.population.candidates
    }
    stage = scored.config.stages[0]
    mean = stage.strategy.mean(read_state(phase.generation(1).state))
    assert mean is not None
    genome = np.clip(drawn.get(won, mean), 0, 1)
    validation = read_document_sets(scored.files.items).ids("validation")
    found = read_population(flat.generation(0).population).candidates
    assert len(found) == NEIGHBOURS
    for one in found:
        assert 0 < np.abs(np.array(one.genome) - genome).max() < 5 * 0.1
        assert one.recipe != won
        rows = read_samples(flat.candidate(one.recipe).items, ["objective", "doc_id"]).to_pylist()
        asked = {row["doc_id"] for row in rows if row["objective"] == "even"}
        assert asked == set(validation["words"])


def test_the_loss_is_on_the_same_documents_and_its_cost_is_counted(scored: TinyRun) -> None:
    """The winner's weighted sum minus theirs; five documents of two tasks each."""
    won = read_winner(scored.files.phase(FINALISTS)).fitness
    ranked = read_generation(scored.files.phase(FLATNESS).generation(0).outcomes).ranked
    assert won is not None
    losses = [won - one.fitness for one in ranked if one.fitness is not None]
    found = load_flatness(scored.files, scored.config)
    assert found is not None
    assert found.mean == pytest.approx(np.mean(losses))
    assert found.worst == pytest.approx(max(losses))
    assert found.answers == NEIGHBOURS * 5 * 2
    assert found.tokens > 0
    (share,) = [one for one in shares(scored.config, {}) if one.name == FLATNESS]
    assert share.answers == found.answers


def test_a_run_with_neighbours_is_sound_until_one_is_another(
    scored: TinyRun, tmp_path: Path
) -> None:
    """The audit draws them again."""
    assert sound(scored) == []
    shutil.copytree(scored.files.root, tmp_path / "tiny")
    run = TinyRun(RunFiles(tmp_path / "tiny"), scored.config)
    path = run.files.phase(FLATNESS).generation(0).population
    content = json.loads(path.read_bytes())
    content["candidates"][0]["genome"][0] += 0.25
    path.write_text(json.dumps(content))
    assert any("neighbours of the winner drawn again differ" in one for one in sound(run))


def test_without_the_setting_nothing_is_planned_and_no_key_is_another(
    tiny_models: Path, tiny_tasks: Path, tmp_path: Path
) -> None:
    """Who the finalists are does not depend on it either."""
    with_it, without = (
        Plan(
            RunFiles(tmp_path),
            parse_config(configured(tiny_models, tiny_tasks, tmp_path, **changes), where="test"),
        )
        for changes in ({}, {"flatness": None})
    )
    assert with_it.finalists_key() == without.finalists_key()
    assert with_it.flatness_key() != without.flatness_key()
    assert (FLATNESS in with_it.finals, FLATNESS in without.finals) == (True, False)
    assert without.flatness() == []
    assert FLATNESS not in without.config.phases
    assert "flatness" not in without.config.finalists.model_dump(mode="json")
