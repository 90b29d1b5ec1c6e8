"""Generations whose scores on all search documents are estimated, on files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.runs_for_tests import TinyRun, evaluation_section, raw_config, start_run
from tsugiki.audit.audit import audit
from tsugiki.config.load import parse_config
from tsugiki.contracts.layout import BASELINES, RunFiles
from tsugiki.contracts.ledger import entries, read_generation
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.population import Generation
from tsugiki.contracts.samples import read_samples
from tsugiki.contracts.scores import scores_of
from tsugiki.errors import EvaluationError
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evolve.irt import ability, fit, performance
from tsugiki.finalists.choose import comparable
from tsugiki.steps.audit import reselect
from tsugiki.steps.evolution import write_next, write_ranked
from tsugiki.steps.plan import Plan
from tsugiki.steps.start import write_baselines, write_first
from tsugiki.strategies.state import read_state

SIZE, POPULATION = 3, 4
QUIET: Any = lambda _line: None  # noqa: E731
BASELINE = {"name": "sum", "method": "task_arithmetic", "parameters": {"weight": [0.3, 0.6, 0.9]}}


def configured(models: Path, tasks: Path, results: Path, **irt: Any) -> dict[str, Any]:
    """Three of eight documents for each generation."""
    subsets = {"per_generation": SIZE, "leaders": 1, "irt": irt}
    section = evaluation_section(tasks, subsets=subsets)
    raw = raw_config(models, tasks, results, evaluation=section, baselines=[BASELINE])
    raw["stages"][0]["budget"] = {"generations": 3}
    return raw


def search(raw: dict[str, Any], generations: int) -> TinyRun:
    """Do what the rules do: baselines first, then some generations."""
    run = start_run(raw)
    write_baselines(run.files, run.config)
    write_first(run.files, run.config, run.config.stages[0])
    evaluator = ShardEvaluator(run.files, run.config, job=0)
    for phase, generation in ((BASELINES, 0), *(("ps", one) for one in range(generations))):
        evaluator.evaluate(phase, generation, log=QUIET)
        write_ranked(run.files, run.config, phase, generation, log=QUIET)
        if phase == "ps":
            write_next(run.files, run.config, run.config.stages[0], generation)
    return run


@pytest.fixture(scope="module")
def searched(
    tiny_models: Path, tiny_tasks: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyRun:
    """Two generations, estimated from those before. Read only."""
    folder = tmp_path_factory.mktemp("estimated")
    return search(configured(tiny_models, tiny_tasks, folder, estimator="p_irt", dimensions=1), 2)


def ledger(run: TinyRun) -> list[Generation]:
    """Its ranked generations."""
    return [one.outcomes for one in entries(run.files.phase("ps")) if one.outcomes is not None]


def values(path: Path) -> dict[int, float]:
    """By document, of the objective `even`."""
    rows = read_samples(path).to_pylist()
    return {row["doc_id"]: row["value"] for row in rows if row["objective"] == "even"}


def sound(run: TinyRun) -> list[str]:
    """What the audit finds."""
    return [
        str(one) for one in audit(run.files, run.config, reselect=reselect(run.files, run.config))
    ]


def test_estimates_are_made_from_parents_baselines_and_earlier_candidates(
    searched: TinyRun,
) -> None:
    """Those of the second generation, from the records as a user would read them."""
    first, second = ledger(searched)
    phases = searched.files.phase(BASELINES), searched.files.phase("ps")
    compared = read_generation(phases[0].generation(0).outcomes).ranked
    known = [values(phases[0].candidate(one.recipe).items) for one in compared]
    assert len(known) == 3 + 3
    known += [values(phases[1].candidate(one.recipe).of(0).items) for one in first.ranked]
    documents = sorted(known[0])
    table = np.array([[one.get(document, np.nan) for document in documents] for one in known])
    items = fit(table, 1)
    for one in second.ranked[:POPULATION]:
        of = values(phases[1].candidate(one.recipe).of(1).items)
        answers = np.array([of.get(document, np.nan) for document in documents])
        expected = performance(items, answers, ability(items, answers))
        assert one.estimated is not None
        assert one.estimated["even"] == pytest.approx(expected, abs=1e-6)
    assert [one.estimated for one in second.ranked[POPULATION:]] == [None]


def test_the_strategy_is_told_of_estimates_and_nobody_else_is(searched: TinyRun) -> None:
    """Outcomes, fitness and whatever finalists are chosen by are of documents that were asked."""
    (stage,) = searched.config.stages
    objectives = searched.config.evaluation.with_goals().objectives
    first, *_ = ledger(searched)
    phase = searched.files.phase("ps")
    estimated = [
        {"even": one.estimated["even"], "choice": one.estimated["choice"]}
        for one in first.ranked
        if one.estimated is not None
    ]
    told = scores_of((one.told for one in first.ranked), objectives)
    assert told.values.tolist() == [[one["even"], one["choice"]] for one in estimated]
    drawn = next(entries(phase)).population.candidates
    genomes = np.array([one.genome for one in drawn])
    state = stage.strategy.tell(read_state(phase.generation(0).state), genomes, told)
    after = read_state(phase.generation(1).state)
    assert np.array_equal(after.arrays["centroid"], state.arrays["centroid"])
    for group in comparable(ledger(searched)):
        for one in group:
            assert isinstance(one.outcome, Scored)
            asked = [
                other.outcome
                for entry in ledger(searched)
                for other in entry.ranked
                if other.recipe == one.recipe
            ]
            assert isinstance(asked[-1], Scored)
            assert one.outcome.measured == asked[-1].overall.measured


def test_ranked_again_from_its_records_a_generation_has_the_same_bytes(
    searched: TinyRun, tmp_path: Path
) -> None:
    """Though later generations are there already."""
    run = TinyRun(RunFiles(tmp_path / "tiny"), searched.config)
    shutil.copytree(searched.files.root, run.files.root)
    for generation in (0, 1):
        path = run.files.phase("ps").generation(generation).outcomes
        before = path.read_bytes()
        write_ranked(run.files, run.config, "ps", generation, log=QUIET)
        assert path.read_bytes() == before


def test_a_run_with_estimates_is_sound_until_one_is_changed(
    searched: TinyRun, tmp_path: Path
) -> None:
    """The audit makes each of them again."""
    assert sound(searched) == []
    run = TinyRun(type(searched.files)(tmp_path / "tiny"), searched.config)
    shutil.copytree(searched.files.root, run.files.root)
    path = run.files.phase("ps").generation(1).outcomes
    content = json.loads(path.read_bytes())
    content["ranked"][0]["estimated"]["even"] += 0.01
    path.write_text(json.dumps(content))
    assert any("candidate 001-00 has another estimate" in one for one in sound(run))


def test_a_stage_with_estimates_depends_on_baselines_and_others_do_not(
    tiny_models: Path, tiny_tasks: Path, tmp_path: Path
) -> None:
    """Other baselines would make other estimates; without them, keys are those without the setting."""
    raw = configured(tiny_models, tiny_tasks, tmp_path)
    other = {**raw, "baselines": [{**BASELINE, "parameters": {"weight": [0.3]}}]}

    def key(of: dict[str, Any]) -> str:
        config = parse_config(of, where="test")
        return Plan(RunFiles(tmp_path), config).stage_key("ps")

    assert key(raw) != key(other)
    for one in (raw, other):
        one["evaluation"]["subsets"] = {"per_generation": SIZE, "leaders": 1}
    assert key(raw) == key(other)
    dumped = parse_config(raw, where="test").evaluation.model_dump(mode="json")
    assert "irt" not in dumped["subsets"]


def test_what_cannot_be_estimated_is_one_error(searched: TinyRun, tmp_path: Path) -> None:
    """Parents that all failed, and answers that are no numbers from 0 to 1."""
    run = TinyRun(type(searched.files)(tmp_path / "tiny"), searched.config)
    shutil.copytree(searched.files.root, run.files.root)
    path = run.files.phase(BASELINES).generation(0).outcomes
    before = path.read_bytes()
    content = json.loads(before)
    for one in content["ranked"][:3]:
        one["outcome"] = {
            "status": "failed",
            "recipe": one["recipe"],
            "evaluation": one["outcome"]["evaluation"],
            "kind": "model",
            "reason": "NaN",
        }
    path.write_text(json.dumps(content))
    with pytest.raises(EvaluationError, match="no parent has answered"):
        write_ranked(run.files, run.config, "ps", 0, log=QUIET)
    path.write_bytes(before)
    items = run.files.phase(BASELINES).candidate(content["ranked"][0]["recipe"]).items
    table = pq.read_table(items)
    column = pa.array([3.5] * len(table))
    pq.write_table(table.set_column(table.schema.get_field_index("value"), "value", column), items)
    with pytest.raises(EvaluationError, match="objective even cannot be estimated") as error:
        write_ranked(run.files, run.config, "ps", 0, log=QUIET)
    assert error.value.got is not None
    assert error.value.got.startswith("3.5")
