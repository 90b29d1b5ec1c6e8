"""Candidates of a run are scored again; what an attacker changed is found, digests and all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.runs_for_tests import TinyRun, evaluation_section, raw_config, start_run
from tests.synthetic_runs import SyntheticRun
from tsugiki.api import Run
from tsugiki.audit.rescore import draw, rescore
from tsugiki.canonical import digest_bytes, digest_file, pretty_json
from tsugiki.commands.all import main
from tsugiki.config.load import dump_config
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.samples import to_parquet
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.finalists.table import read_final_table
from tsugiki.steps.evolution import write_promotion, write_ranked

WEIGHTS = (0.3, 0.7, 1.1)


def scored(models: Path, tasks: Path, results: Path, **evaluation: Any) -> TinyRun:
    """A run with one generation, scored by its rungs if it has any, and ranked."""
    section = evaluation_section(tasks, **evaluation)
    run = start_run(raw_config(models, tasks, results, evaluation=section))
    run.write_population([run.recipe(weight=weight) for weight in WEIGHTS])
    evaluator = ShardEvaluator(run.files, run.config, job=0)
    rungs = run.config.evaluation.rungs
    for rung in range(len(rungs.documents) - 1 if rungs is not None else 0):
        evaluator.evaluate("ps", 0, rung=rung, log=lambda _: None)
        stage = run.config.stages[0]
        write_promotion(run.files, run.config, stage, 0, rung, log=lambda _: None)
    evaluator.evaluate("ps", 0, log=lambda _: None)
    write_ranked(run.files, run.config, "ps", 0, log=lambda _: None)
    return run


@pytest.fixture(scope="module")
def sound(tiny_models: Path, tiny_tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """An untouched run."""
    return scored(tiny_models, tiny_tasks, tmp_path_factory.mktemp("sound"))


@pytest.fixture
def run(sound: TinyRun, tmp_path: Path) -> TinyRun:
    """A copy to work on."""
    shutil.copytree(sound.files.root, tmp_path / "tiny")
    config = sound.config.model_copy(update={"results": str(tmp_path)})
    (tmp_path / "tiny.yaml").write_bytes(dump_config(config))
    return TinyRun(RunFiles(tmp_path / "tiny"), config)


def flip(rows: list[dict[str, Any]], outcome: dict[str, Any]) -> None:
    """A document of `choice` is said to be right, and the mean that follows."""
    its = [row for row in rows if row["objective"] == "choice"]
    next(row for row in its if row["value"] == 0.0)["value"] = 1.0
    outcome["measured"]["choice"]["value"] = sum(row["value"] for row in its) / len(its)


def other_weights(rows: list[dict[str, Any]], outcome: dict[str, Any]) -> None:
    """A digest that the recipe does not make."""
    del rows
    outcome["weights"] = "f" * 64


def forge(run: TinyRun, change: Callable[[list[dict[str, Any]], dict[str, Any]], None]) -> str:
    """Change a candidate's record, and all that names it up to the ledger's entry; return its folder."""
    folder = run.candidate(run.recipe(weight=WEIGHTS[1]))
    rows = pq.read_table(folder.items).to_pylist()
    outcome = json.loads(folder.outcome.read_bytes())
    change(rows, outcome)
    table = to_parquet([{**dict.fromkeys(("prompt", "part")), **row} for row in rows])
    folder.items.write_bytes(table)
    folder.outcome.write_bytes(pretty_json({**outcome, "records": digest_bytes(table)}))
    generation = run.files.phase("ps").generation(0)
    mark = json.loads(generation.evaluated(0).read_bytes())
    mark["outcomes"][outcome["recipe"]] = digest_file(folder.outcome)
    generation.evaluated(0).write_bytes(pretty_json(mark))
    write_ranked(run.files, run.config, "ps", 0, log=lambda _: None)
    return folder.root.relative_to(run.files.root).as_posix()


def command(run: TinyRun, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Status and words of `tsugiki audit --rescore`, where the rest of the audit finds nothing."""
    monkeypatch.setattr(Run, "audit", lambda _self, **_: [])
    config = str(run.files.root.with_name("tiny.yaml"))
    result = CliRunner().invoke(main, ["audit", config, "--rescore", *arguments])
    return result.exit_code, result.output


def test_an_untouched_run_agrees(run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Item by item, with status 0; nothing in its folder is written."""
    before = {path: path.read_bytes() for path in run.files.root.rglob("*") if path.is_file()}
    status, said = command(run, "9", monkeypatch=monkeypatch)
    assert status == 0, said
    assert "agrees: 3 candidates scored again, item by item" in said
    after = {path: path.read_bytes() for path in run.files.root.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize(
    ("change", "said"),
    [(flip, "another score of the same answer"), (other_weights, "the merged weights are others")],
)
def test_what_an_attacker_changed_consistently_is_found(
    run: TinyRun,
    change: Callable[[list[dict[str, Any]], dict[str, Any]], None],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each file that names the changed one was changed along, so that their digests agree."""
    forged = forge(run, change)
    found = {one.where: one for one in rescore(run.files, run.config, 3).found}
    assert {where for where, one in found.items() if one.verdict == "contradicts"} == {forged}
    assert said in str(found[forged])
    status, words = command(run, "3", monkeypatch=monkeypatch)
    assert status == 1
    assert "does not agree" in words


def test_a_near_miss_on_another_host_may_be_hardware(
    run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 3; the same difference on the same host does not agree."""

    def move(rows: list[dict[str, Any]], outcome: dict[str, Any]) -> None:
        del outcome
        row = next(row for row in rows if row["objective"] == "choice")
        likelihoods = json.loads(row["response"])
        row["response"] = json.dumps([likelihoods[0] + 0.01, *likelihoods[1:]])

    where = forge(run, move)
    assert command(run, "3", monkeypatch=monkeypatch)[0] == 1
    cost = run.files.root / where / "cost.json"
    cost.write_bytes(pretty_json({**json.loads(cost.read_bytes()), "host": "elsewhere"}))
    status, said = command(run, "3", monkeypatch=monkeypatch)
    assert status == 3, said
    assert "differs as hardware may" in said
    assert "log-likelihoods differ by 0.01 at most" in said


def test_the_key_draws_from_all_phases_after_the_winner(finished: SyntheticRun) -> None:
    """The winner's row on the test documents is what a run claims; the usual key has the same ones always."""

    def places(count: int, key: str = "") -> list[tuple[str, str]]:
        found = draw(finished.files, finished.config, count, key)
        return [(one.phase, one.ranked.recipe) for one in found]

    every = draw(finished.files, finished.config, 999, "")
    assert {one.phase for one in every} >= {"ps", "baselines", "finalists", "test"}
    assert len({(one.phase, one.ranked.recipe) for one in every}) == len(every)
    table = read_final_table(finished.files.final)
    winner = table.row(table.winner).recipe
    assert (every[0].phase, every[0].ranked.recipe) == ("test", winner)
    assert places(4) == places(4)
    assert places(4)[0] == places(4, "mine")[0]
    assert places(4)[1:] != places(4, "mine")[1:]


def test_a_candidate_is_scored_rung_by_rung_as_it_was(
    tiny_models: Path, tiny_tasks: Path, tmp_path: Path
) -> None:
    """Those that were left at a rung are compared on its documents."""
    rungs = {"documents": [4, 8], "rule": "halving"}
    run = scored(tiny_models, tiny_tasks, tmp_path / "results", rungs=rungs)
    found = rescore(run.files, run.config, 3).found
    assert {one.verdict for one in found} == {"agrees"}
    assert {one.items for one in found} == {8, 16}  # of two objectives
