"""Shares of a generation, scored through a stand-in for vLLM."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import MakeRun
from tests.evaluate.test_batch import (
    evaluate,
    outcome,
    parent,
    rows,
    scored,
    with_evaluation,
)
from tests.evaluate.vllm_backend.stand_in import StandInLLM, stand_in_for_vllm
from tests.evaluate.vllm_backend.test_weights import STEEP
from tests.parents.checkpoints import write_llama
from tests.runs_for_tests import (
    TinyRun,
    evaluation_section,
    raw_config,
    start_run,
    write_parents,
)
from tsugiki.config.run import RunConfig
from tsugiki.contracts.outcome import Failed
from tsugiki.contracts.recipe import DataflowRecipe
from tsugiki.errors import ConfigError, InfrastructureError
from tsugiki.evaluate.backends import open_backend, require_backend
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.materialized import materialize
from tsugiki.evaluate.vllm_backend.candidates import VllmCandidates
from tsugiki.parents.run_models import RunModels

WORDS = [{"name": "even", "task": "words", "metric": "even,none"}]


@pytest.fixture
def run(make_run: MakeRun, tiny_tasks: Path) -> TinyRun:
    """A run whose only task generates answers."""
    return make_run(evaluation=evaluation_section(tiny_tasks, objectives=WORDS))


def on_vllm(run: TinyRun, **changes: Any) -> RunConfig:
    """The run's configuration with the other backend."""
    return with_evaluation(run, backend="vllm", device="cuda", **changes)


def test_both_backends_answer_alike(run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts, answers, scores and weights are the same; the evaluation is another one."""
    recipes = [run.recipe(weight=weight) for weight in (0.1, 0.9, 1.4)]
    run.write_population(recipes)
    evaluate(run)
    before = [(scored(run, recipe), rows(run, recipe, "even")) for recipe in recipes]
    assert len({json.dumps(items, sort_keys=True) for _, items in before}) == len(recipes)
    stand_in_for_vllm(monkeypatch)
    evaluate(run, on_vllm(run))
    for recipe, (old, items) in zip(recipes, before, strict=True):
        new = scored(run, recipe)
        assert rows(run, recipe, "even") == items
        assert (new.measured, new.weights, new.rates) == (old.measured, old.weights, old.rates)
        assert new.evaluation != old.evaluation
    assert len(StandInLLM.started) == 1
    assert StandInLLM.started[0].settings["load_format"] == "dummy"
    assert not StandInLLM.started[0].settings["enable_prefix_caching"]


@pytest.mark.parametrize("storage", ["scratch", "disk"])
def test_where_candidates_are_merged_changes_nothing(
    run: TinyRun, monkeypatch: pytest.MonkeyPatch, storage: Any
) -> None:
    """In the worker, or on disk."""
    stand_in_for_vllm(monkeypatch)
    recipe = run.recipe("dare_ties", weight=0.7, density=0.5)
    run.write_population([recipe])
    evaluate(run, on_vllm(run))
    before = run.candidate(recipe).outcome.read_bytes()
    shutil.rmtree(run.files.series("ps").generation(0).weights(0), ignore_errors=True)
    run.candidate(recipe).outcome.unlink()
    config = on_vllm(run, storage=storage)
    if storage == "disk":
        materialize(run.files, config, "ps", 0, 0)
    evaluate(run, config)
    assert run.candidate(recipe).outcome.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "tensor", "value", "dtype", "kind"),
    [
        ("steep", STEEP, 1e5, "float16", "recipe"),
        ("huge", "lm_head.weight", 3e38, "float32", "model"),
    ],
)
def test_a_candidate_fails_for_what_is_wrong_with_it(
    tiny_tasks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    name: str,
    tensor: str,
    value: float,
    dtype: Any,
    kind: str,
) -> None:
    """A merge that is no number, and a model whose logits are none; the next one is scored."""
    models = write_parents(tmp_path / "models")
    sound = load_file(models / "a" / "model.safetensors")[tensor]
    write_llama(models / name, seed=3, extra={tensor: torch.full_like(sound, value)})
    section = evaluation_section(tiny_tasks, objectives=WORDS)
    raw = raw_config(models, tiny_tasks, tmp_path / "results", evaluation=section)
    raw["parents"][name] = {"path": str(models / name)}
    run = start_run(raw)
    stand_in_for_vllm(monkeypatch)
    bad, good = (
        run.recipe("linear", base=None, parents=(one,), weight=1.0, dtype=dtype, owner="base")
        for one in (name, "a")
    )
    run.write_population([bad, good])
    evaluate(run, on_vllm(run))
    failed = outcome(run, bad)
    assert isinstance(failed, Failed)
    assert failed.kind == kind
    assert "not finite" in failed.reason
    scored(run, good)


def test_an_outcome_belongs_to_the_version_and_the_settings(
    run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other kernels may be chosen with each of them."""
    stand_in_for_vllm(monkeypatch)
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])
    found = set()
    for changes in ({}, {"vllm": on_vllm(run).evaluation.vllm.model_copy(update={"memory": 0.5})}):
        evaluate(run, on_vllm(run, **changes))
        found.add(scored(run, recipe).evaluation)
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "0.31.0")
    evaluate(run, on_vllm(run))
    found.add(scored(run, recipe).evaluation)
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "1")
    evaluate(run, on_vllm(run))
    found.add(scored(run, recipe).evaluation)
    assert len(found) == 4


def test_models_that_need_another_engine_wait_for_another_process(
    run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can be scored is scored first, and kept."""
    stand_in_for_vllm(monkeypatch)
    recipes = [
        run.recipe(weight=weight, dtype=dtype)
        for weight, dtype in ((0.1, "float32"), (0.5, "bfloat16"), (0.9, "float32"))
    ]
    run.write_population(recipes)
    with pytest.raises(InfrastructureError, match="another vLLM engine"):
        evaluate(run, on_vllm(run))
    assert [run.candidate(recipe).outcome.is_file() for recipe in recipes] == [True, False, True]
    evaluate(run, on_vllm(run))
    assert [llm.settings["dtype"] for llm in StandInLLM.started] == ["float32", "bfloat16"]


def test_a_parent_with_the_same_files_beside_its_weights_shares_the_engine(
    run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the final table, where each parent has its own tokenizer."""
    stand_in_for_vllm(monkeypatch)
    run.write_population(
        [
            run.recipe("linear", base=None, parents=(name,), weight=1.0, owner=name)
            for name in ("a", "b")
        ]
    )
    evaluate(run, on_vllm(run))
    assert len(StandInLLM.started) == 1


def test_other_models_go_into_the_same_engine(
    run: TinyRun, tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a resident process comes to the next stage."""
    stand_in_for_vllm(monkeypatch)
    folders = {name: tiny_models / name for name in run.digests}
    config = on_vllm(run)
    first = open_backend(RunModels(folders, run.digests), config, job=0)
    first.build(run.recipe(weight=0.5))
    swapped = RunModels({**folders, "a": folders["b"]}, run.digests)
    second = open_backend(swapped, config, job=0, before=first)
    recipe = parent(run, "a").model_copy(update={"owner": "base"})
    second.build(recipe)
    (llm,) = StandInLLM.started
    expected = load_file(folders["b"] / "model.safetensors")
    found = llm.worker.model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_without_a_gpu_there_is_no_score(run: TinyRun, tiny_models: Path) -> None:
    """A node with a broken GPU must not score on its processor."""
    folders = {name: tiny_models / name for name in run.digests}
    with pytest.raises(InfrastructureError, match="needs a GPU"):
        VllmCandidates(folders, run.digests, on_vllm(run).evaluation)


def test_without_vllm_nothing_is_merged(run: TinyRun) -> None:
    """The error says what to install."""
    with pytest.raises(ConfigError, match="is not installed"):
        evaluate(run, on_vllm(run))


def test_tasks_that_vllm_cannot_score_are_refused(
    make_run: MakeRun, tmp_path: Path, tiny_tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Multiple choice, and settings of generation that are not known."""
    run = make_run()
    stand_in_for_vllm(monkeypatch)
    with pytest.raises(ConfigError, match="choice generates no answers"):
        require_backend(Evaluators(on_vllm(run).evaluation))
    shutil.copytree(tiny_tasks, tmp_path / "mine")
    yaml = tmp_path / "mine" / "words.yaml"
    yaml.write_text(
        yaml.read_text().replace("max_gen_toks", "repetition_penalty: 1.1\n  max_gen_toks")
    )
    raw = evaluation_section(tmp_path / "mine", objectives=WORDS)
    evaluation = on_vllm(run).evaluation.model_validate(
        {**raw, "backend": "vllm", "device": "cuda"}
    )
    with pytest.raises(ConfigError, match="repetition_penalty"):
        require_backend(Evaluators(evaluation))


def test_paths_through_layers_are_refused(
    run: TinyRun, tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine has the number of layers that it began with."""
    stand_in_for_vllm(monkeypatch)
    folders = {name: tiny_models / name for name in run.digests}
    candidates = VllmCandidates(folders, run.digests, on_vllm(run).evaluation)
    path = DataflowRecipe.model_construct(owner="a", head="a", parents=(), path=())
    with pytest.raises(ConfigError, match="number of layers"):
        candidates.build(path)
    assert StandInLLM.started == []
