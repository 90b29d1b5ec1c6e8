"""Two stages, one after another, on files: parameter space, then data-flow space over its result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from tests.runs_for_tests import TinyRun, raw_config, start_run
from tsugiki.audit.audit import audit
from tsugiki.canonical import digest_file
from tsugiki.contracts.layout import PhaseFiles
from tsugiki.contracts.locks import LockedFile, digest_of_files
from tsugiki.contracts.recipe import read_recipe
from tsugiki.errors import ConfigError, LineageError, ParentError
from tsugiki.finalists.table import read_final_table
from tsugiki.parents.run_models import models_of, read_stage_lock, run_models
from tsugiki.report.page import write_report
from tsugiki.steps.audit import reproduce_best, reselect
from tsugiki.steps.start import write_first


def hybrid(models: Path, tasks: Path, results: Path) -> dict[str, Any]:
    """One generation of each space."""
    baseline = {"name": "average", "method": "linear", "parameters": {"weight": 1.0}}
    raw = raw_config(models, tasks, results, baselines=[baseline], finalists={"top": 2})
    raw["stages"][0]["budget"] = {"generations": 1}
    raw["stages"].append(
        {
            "name": "dfs",
            "parents": ["ps", "b"],
            "space": {"kind": "dataflow", "repeats": 2, "dtype": "float32"},
            "strategy": {"kind": "bit_cma", "population": 4},
            "budget": {"generations": 1},
        }
    )
    return raw


@pytest.fixture(scope="module")
def finished(
    tiny_models: Path, tiny_tasks: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyRun:
    """A run from its first generation to its best model. Read only."""
    run = start_run(hybrid(tiny_models, tiny_tasks, tmp_path_factory.mktemp("results")))
    run.finish()
    return run


@pytest.fixture
def copied(finished: TinyRun, tmp_path: Path) -> TinyRun:
    """A copy to change."""
    root = tmp_path / finished.files.root.name
    shutil.copytree(finished.files.root, root)
    return TinyRun(type(finished.files)(root), finished.config)


def test_one_evaluating_process_takes_up_the_result_of_a_stage(finished: TinyRun) -> None:
    """It was started before there was one."""
    locked = read_stage_lock(finished.files.phase("ps").best_lock)
    first = json.loads(finished.files.phase("dfs").generation(0).outcomes.read_bytes())
    assert {one["outcome"]["status"] for one in first["ranked"]} == {"scored"}
    recipe = read_recipe(finished.files.phase("dfs").candidate(first["ranked"][0]["recipe"]).recipe)
    assert {ref.name: ref.digest for ref in recipe.models}["ps"] == locked.digest


def test_the_first_candidate_of_the_second_stage_is_the_first_ones_best(
    finished: TinyRun,
) -> None:
    """The owner's own path: the same score as in the first stage, on the same documents."""
    first = json.loads(finished.files.phase("dfs").generation(0).outcomes.read_bytes())
    won = read_recipe(finished.files.phase("ps").best / "recipe.json").digest
    searched = json.loads(finished.files.phase("ps").generation(0).outcomes.read_bytes())
    scores = {one["recipe"]: one["fitness"] for one in searched["ranked"]}
    if won in scores:
        assert first["ranked"][0]["fitness"] == pytest.approx(scores[won], abs=1e-9)


def test_each_series_has_only_the_stages_that_it_merges(finished: TinyRun) -> None:
    """Baselines are of the parents, whatever stages have made since."""
    names = {
        phase: set(models_of(finished.files, finished.config, phase).folders)
        for phase in ("ps", "dfs", "finalists-ps", "finalists", "baselines", "test")
    }
    assert names["ps"] == names["finalists-ps"] == names["baselines"] == {"a", "b", "base"}
    assert names["dfs"] == names["finalists"] == names["test"] == {"a", "b", "base", "ps"}


def test_the_table_shows_what_each_stage_reached(finished: TinyRun) -> None:
    """With its search and validation scores, and the paired difference to the winner."""
    row = read_final_table(finished.files.final).row("ps")
    assert (row.kind, row.method) == ("stage", "dare_ties")
    assert row.validation is not None
    assert row.against_winner is not None


def test_the_best_model_is_an_ordinary_checkpoint(finished: TinyRun) -> None:
    """With as many layers as its path has hops."""
    recipe = read_recipe(finished.files.best / "recipe.json")
    assert recipe.space == "dataflow"
    model = AutoModelForCausalLM.from_pretrained(finished.files.best)
    assert model.config.num_hidden_layers == len(recipe.path)


def test_the_report_shows_each_stage(copied: TinyRun) -> None:
    """The path of the last, the weights of the one before."""
    page = write_report(copied.files, copied.config).read_text("utf-8")
    assert "Best of stage ps" in page
    assert "A path of" in page
    figures = {path.name for path in (copied.files.root / "figures").iterdir()}
    assert {"path.svg", "weights-ps.svg", "fitness.svg"} <= figures


def test_a_sound_chain_passes_the_audit(finished: TinyRun) -> None:
    """Every generation of both stages is drawn again."""
    found = audit(
        finished.files, finished.config, reselect=reselect(finished.files, finished.config)
    )
    assert [str(one) for one in found if "configuration" not in one.what] == []


def change_model(phase: PhaseFiles) -> None:
    """Another configuration beside the weights."""
    (phase.best / "config.json").write_text("{}")


def change_recipe(phase: PhaseFiles) -> None:
    """A lock that names another recipe."""
    content = phase.best_lock.read_text()
    phase.best_lock.write_text(content.replace(json.loads(content)["source"]["recipe"], "0" * 64))


def change_lock(phase: PhaseFiles) -> None:
    """No lock at all."""
    phase.best_lock.write_text("{}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_model, "has changed since it was locked"),
        (change_recipe, "was not made from its winner's recipe"),
        (change_lock, "not a valid lock file"),
    ],
)
def test_the_audit_finds_a_broken_link(
    copied: TinyRun, change: Callable[[PhaseFiles], None], message: str
) -> None:
    """Between the stages of a run."""
    change(copied.files.phase("ps"))
    found = [str(one) for one in audit(copied.files, copied.config)]
    assert any(message in one for one in found), found


def test_reproduction_needs_the_parents_alone(copied: TinyRun, tmp_path: Path) -> None:
    """The first stage's best model is built again, though its folder is gone."""
    shutil.rmtree(copied.files.phase("ps").best)
    out = tmp_path / "again"
    reproduce_best(copied.files, copied.config, out)
    files = [path.name for path in copied.files.best.glob("[!.]*")]
    assert files
    assert all(digest_file(out / one) == digest_file(copied.files.best / one) for one in files)
    assert [path.name for path in tmp_path.glob(".again*")] == []


def test_reproduction_stops_where_a_stage_comes_out_differently(
    copied: TinyRun, tmp_path: Path
) -> None:
    """And says which."""
    lock = copied.files.phase("ps").best_lock
    content = lock.read_text()
    digest = next(
        file["sha256"] for file in json.loads(content)["files"] if file["name"] == "config.json"
    )
    raw = json.loads(content.replace(digest, "0" * 64))
    raw["digest"] = digest_of_files(tuple(LockedFile(**file) for file in raw["files"]))
    lock.write_text(json.dumps(raw))
    with pytest.raises(LineageError, match="stage `ps` could not be reproduced"):
        reproduce_best(copied.files, copied.config, tmp_path / "again")


def test_a_stages_model_that_is_gone_is_named(copied: TinyRun) -> None:
    """With what to do."""
    (copied.files.phase("ps").best / "model.safetensors").unlink()
    with pytest.raises(
        ParentError, match="best model of stage `ps` is not on this machine"
    ) as caught:
        run_models(copied.files, copied.config)
    assert "best/model.safetensors" in str(caught.value)
    for phase in ("ps", "finalists-ps", "baselines"):
        assert "ps" not in models_of(copied.files, copied.config, phase).folders


def test_a_stages_model_that_was_replaced_is_refused(copied: TinyRun) -> None:
    """By another one of the same size; what to do is named."""
    weights = copied.files.phase("ps").best / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(LineageError, match="best model of stage `ps` are not those") as caught:
        run_models(copied.files, copied.config)
    assert "best.lock.json" in str(caught.value)


def test_too_many_genes_for_a_full_covariance_are_refused(
    finished: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a matrix is made."""
    monkeypatch.setattr("tsugiki.strategies.cma_es.FullCovariance.most_genes", 3)
    with pytest.raises(ConfigError, match="too many genes for cma_es") as caught:
        write_first(finished.files, finished.config, finished.config.stages[0])
    assert "sep_cma" in str(caught.value)
