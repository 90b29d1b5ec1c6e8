"""What the rules call, one after another, on files: a whole small run without the workflow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.conftest import MakeRun
from tests.parents.checkpoints import write_llama
from tests.runs_for_tests import TinyRun, raw_config, start_run
from tsugiki.audit.audit import audit
from tsugiki.canonical import digest_bytes
from tsugiki.config.parents import LocalParent
from tsugiki.contracts.ledger import read_generation, read_population
from tsugiki.contracts.population import Population
from tsugiki.contracts.recipe import read_recipe
from tsugiki.errors import ConfigError, EvaluationError, LineageError
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.steps.audit import reproduce_best, reselect
from tsugiki.steps.best import write_best, write_candidate
from tsugiki.steps.evolution import write_next, write_ranked

GENERATIONS = 2


def quiet(_line: str) -> None:
    """Say nothing."""


def short_config(models: Path, tasks: Path, results: Path) -> dict[str, Any]:
    """A run of two generations and one baseline."""
    baseline = {"name": "average", "method": "linear", "parameters": {"weight": 1.0}}
    raw = raw_config(models, tasks, results, baselines=[baseline], finalists={"top": 2})
    raw["stages"][0]["budget"] = {"generations": GENERATIONS}
    return raw


@pytest.fixture(scope="module")
def finished(
    tiny_models: Path, tiny_tasks: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyRun:
    """A run from its first generation to its best model. Read only."""
    run = start_run(short_config(tiny_models, tiny_tasks, tmp_path_factory.mktemp("results")))
    run.finish()
    return run


@pytest.fixture
def copied(finished: TinyRun, tmp_path: Path) -> TinyRun:
    """The finished run in a folder of the test's own."""
    shutil.copytree(finished.files.root, tmp_path / "copy")
    return TinyRun(type(finished.files)(tmp_path / "copy"), finished.config)


def test_a_second_run_gives_the_same_bytes(
    finished: TinyRun, tiny_models: Path, tiny_tasks: Path, tmp_path: Path
) -> None:
    """Populations, states, outcomes and items, in another folder."""
    again = start_run(short_config(tiny_models, tiny_tasks, tmp_path / "elsewhere"))
    again.search()
    compared = 0
    for path in sorted(again.files.root.rglob("*")):
        if path.is_file() and path.name not in {"cost.json", "config.lock.yaml"}:
            other = finished.files.root / path.relative_to(again.files.root)
            if path.name != "environment.json":
                assert path.read_bytes() == other.read_bytes(), path
                compared += 1
    assert compared > 4 * 3 * GENERATIONS


def test_a_finished_run_is_sound_and_every_generation_can_be_drawn_again(finished: TinyRun) -> None:
    """By the audit that users run."""
    again = reselect(finished.files, finished.config)
    assert audit(finished.files, finished.config, reselect=again) == []


@pytest.mark.parametrize("changed", ["population", "state"])
def test_a_generation_that_does_not_follow_is_found(copied: TinyRun, changed: str) -> None:
    """Drawn again, it has other bytes than those on disk."""
    path: Path = getattr(copied.files.phase("ps").generation(1), changed)
    path.write_bytes(path.read_bytes() + b"\n")
    findings = audit(copied.files, copied.config, reselect=reselect(copied.files, copied.config))
    assert any(f"{changed} drawn again differs" in str(one) for one in findings)


def test_the_best_model_is_an_ordinary_checkpoint(finished: TinyRun) -> None:
    """Stock transformers load it, all of it, and it computes."""
    model, info = AutoModelForCausalLM.from_pretrained(
        finished.files.best, output_loading_info=True, local_files_only=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(finished.files.best, local_files_only=True)
    with torch.no_grad():
        logits = model(**tokenizer("w1 w2 w3", return_tensors="pt")).logits
    assert torch.isfinite(logits).all()


def test_any_candidate_is_written_as_the_best_model_is(finished: TinyRun, tmp_path: Path) -> None:
    """With the weights that were scored; what nobody drew, and where a run lies, are refused."""
    entry = read_generation(finished.files.phase("ps").generation(1).outcomes).ranked[1]
    assert entry.outcome.status == "scored"
    out = tmp_path / "candidate"
    digest = write_candidate(finished.files, finished.config, "ps", entry.id, out, threads=1)
    assert digest == entry.outcome.weights
    assert read_recipe(out / "recipe.json").digest == entry.recipe
    with pytest.raises(LineageError, match="no such candidate"):
        write_candidate(finished.files, finished.config, "ps", "099-00", out, threads=1)
    with pytest.raises(ConfigError, match="folder of a run"):
        write_candidate(
            finished.files, finished.config, "ps", entry.id, finished.files.root, threads=1
        )


def test_the_best_model_is_reproduced_from_its_recipe(copied: TinyRun, tmp_path: Path) -> None:
    """Bit for bit; a changed file is named."""
    assert "same bytes" in reproduce_best(copied.files, copied.config, tmp_path / "again")
    path = copied.files.best / "config.json"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(LineageError, match="could not be reproduced") as caught:
        reproduce_best(copied.files, copied.config, tmp_path / "again")
    assert str(caught.value.where).endswith("config.json")


def test_the_best_model_is_never_made_of_other_parents(
    copied: TinyRun, tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is read, whatever is known of it, when it is written and when it is reproduced."""

    def forgotten(path: Path, _memory: Path) -> str:
        raise AssertionError(f"{path} was not read")

    monkeypatch.setattr("tsugiki.parents.locate.known_digest", forgotten)
    shutil.copytree(tiny_models, tmp_path / "models")
    parents = {
        name: LocalParent(path=str(tmp_path / "models" / name)) for name in copied.config.parents
    }
    config = copied.config.model_copy(update={"parents": parents})
    write_best(copied.files, config, tmp_path / "best", threads=1)
    reproduce_best(copied.files, config, tmp_path / "again")
    write_llama(tmp_path / "models/a", seed=77)
    with pytest.raises(LineageError, match=r"parent `a`.*model\.safetensors"):
        write_best(copied.files, config, tmp_path / "best", threads=1)
    with pytest.raises(LineageError, match=r"parent `a`.*model\.safetensors"):
        reproduce_best(copied.files, config, tmp_path / "again")


def test_finals_use_their_own_items(finished: TinyRun) -> None:
    """Finalists are chosen on validation items; the test set has winner, parents and baseline."""
    splits = {
        name: read_population(finished.files.phase(name).generation(0).population).split
        for name in ("ps", "baselines", "finalists", "test")
    }
    assert splits == {
        "ps": "search",
        "baselines": "search",
        "finalists": "validation",
        "test": "test",
    }
    rows = {
        str(one.origin["name"])
        for one in read_population(finished.files.phase("test").generation(0).population).candidates
    }
    assert {"base", "a", "b", "average"} <= rows
    best = json.loads(finished.files.phase("finalists").generation(0).outcomes.read_bytes())
    assert 2 <= len(best["ranked"]) <= 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "outcome is missing"),
        (lambda path: path.write_text("{"), "not a valid outcome"),
        (
            lambda path: path.write_text(
                json.dumps(json.loads(path.read_text()) | {"recipe": "0" * 64})
            ),
            "belongs to another recipe",
        ),
    ],
    ids=["missing", "broken", "another's"],
)
def test_a_generation_is_ranked_only_with_all_its_outcomes(
    copied: TinyRun, change: Callable[[Path], object], message: str
) -> None:
    """A missing score is never taken for a bad one."""
    phase = copied.files.phase("ps")
    population = read_population(phase.generation(0).population)
    before = phase.generation(0).outcomes.read_bytes()
    change(phase.candidate(population.candidates[1].recipe).outcome)
    with pytest.raises(LineageError, match=message):
        write_ranked(copied.files, copied.config, "ps", 0, log=quiet)
    assert phase.generation(0).outcomes.read_bytes() == before


def score_otherwise(run: TinyRun, generation: int) -> Path:
    """Let another evaluation have scored a candidate of a generation; returns its outcome."""
    phase = run.files.phase("ps")
    population = read_population(phase.generation(generation).population)
    path = phase.candidate(population.candidates[1].recipe).outcome
    path.write_text(json.dumps(json.loads(path.read_text()) | {"evaluation": "0" * 64}))
    return path


@pytest.mark.parametrize("generation", [0, 1])
def test_scores_of_two_evaluations_are_not_ranked_together(
    copied: TinyRun, generation: int
) -> None:
    """The generation is looked at again by the next run, which scores the odd candidate anew."""
    path = score_otherwise(copied, generation)
    files = copied.files.phase("ps").generation(generation)
    before = files.outcomes.read_bytes()
    with pytest.raises(LineageError, match="scored by different evaluations"):
        write_ranked(copied.files, copied.config, "ps", generation, log=quiet)
    assert not files.evaluated(0).exists()
    copied.score("ps", generation)
    assert json.loads(path.read_text())["evaluation"] != "0" * 64
    assert files.outcomes.read_bytes() == before


def test_a_generation_scored_otherwise_than_those_before_is_not_ranked(copied: TinyRun) -> None:
    """Though one evaluation scored all of it."""
    phase = copied.files.phase("ps")
    for candidate in read_population(phase.generation(1).population).candidates:
        path = phase.candidate(candidate.recipe).outcome
        path.write_text(json.dumps(json.loads(path.read_text()) | {"evaluation": "0" * 64}))
    with pytest.raises(LineageError, match="scored by different evaluations"):
        write_ranked(copied.files, copied.config, "ps", 1, log=quiet)


def test_a_stage_is_not_scored_on_by_another_evaluation(copied: TinyRun) -> None:
    """It is refused before a candidate is scored, and no outcome is replaced."""
    evaluation = copied.config.evaluation.model_copy(update={"batch_size": 3})
    config = copied.config.model_copy(update={"evaluation": evaluation})
    paths = sorted(copied.files.phase("ps").root.rglob("outcome.json"))
    before = [path.read_bytes() for path in paths]
    with pytest.raises(LineageError, match="scored by different evaluations"):
        ShardEvaluator(copied.files, config, job=0).evaluate("ps", GENERATIONS, log=quiet)
    assert [path.read_bytes() for path in paths] == before


def test_a_first_generation_of_failures_stops_the_run_with_its_reason(make_run: MakeRun) -> None:
    """What fails everywhere is a fault of the set-up."""
    run = make_run()
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])
    failed = {
        "status": "failed",
        "recipe": recipe.digest,
        "evaluation": "0" * 64,
        "kind": "evaluation",
        "reason": "task words reports no `even`",
    }
    run.candidate(recipe).outcome.write_text(json.dumps(failed))
    with pytest.raises(EvaluationError, match="all 1 candidates failed") as caught:
        write_ranked(run.files, run.config, "ps", 0, log=quiet)
    assert "reports no `even`" in str(caught.value.got)
    assert not run.files.phase("ps").generation(0).outcomes.exists()


def test_ranking_tells_how_the_search_stands(copied: TinyRun) -> None:
    """A line for the terminal."""
    lines: list[str] = []
    write_ranked(copied.files, copied.config, "ps", 1, log=lines.append)
    write_ranked(copied.files, copied.config, "finalists", 0, log=lines.append)
    assert lines[0].startswith("ps: ")
    assert "validation items" in lines[1]


def test_a_generation_without_differences_is_told(copied: TinyRun) -> None:
    """A search in which every candidate scores 0 would go on to the end without a word."""
    phase = copied.files.phase("ps")
    for candidate in read_population(phase.generation(0).population).candidates:
        path = phase.candidate(candidate.recipe).outcome
        outcome = json.loads(path.read_text())
        for measured in outcome["measured"].values():
            measured["value"] = 0.0
        path.write_text(json.dumps(outcome))
    lines: list[str] = []
    write_ranked(copied.files, copied.config, "ps", 0, log=lines.append)
    assert len(lines) == 2
    assert "the same fitness, 0.0000" in lines[1]


def test_an_ended_stage_has_nothing_to_evaluate(copied: TinyRun) -> None:
    """Its empty generations pass through evaluation, ranking and selection."""
    phase = copied.files.phase("ps")
    files = phase.generation(GENERATIONS)
    population = read_population(files.population)
    ended = population.model_copy(update={"candidates": (), "stopped": "no better candidate"})
    content = json.dumps(ended.model_dump(mode="json")).encode()
    files.population.write_bytes(content)
    copied.score("ps", GENERATIONS)
    entry = read_generation(files.outcomes)
    assert entry.ranked == ()
    assert entry.population == digest_bytes(content)
    write_next(copied.files, copied.config, copied.config.stages[0], GENERATIONS)
    following = phase.generation(GENERATIONS + 1).population.read_bytes()
    assert Population.model_validate_json(following).stopped == "no better candidate"
