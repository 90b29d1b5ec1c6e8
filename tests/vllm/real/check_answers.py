"""Answers of a real vLLM, against those of transformers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.evaluate.test_batch import evaluate, outcome, rows, scored
from tests.evaluate.vllm_backend.test_weights import STEEP
from tests.runs_for_tests import documents
from tests.vllm.real.models import on_vllm, run_of, write_model
from tsugiki.contracts.outcome import Failed
from tsugiki.evaluate.materialized import materialize


@pytest.mark.parametrize(
    "changes", [{}, {"tie_word_embeddings": True}, {"attention_bias": True}], ids=str
)
def test_both_backends_answer_alike(tmp_path: Path, changes: dict[str, Any]) -> None:
    """In float32: the same weights, prompts, answers and scores; the evaluation is another one."""
    run = run_of(tmp_path, **changes)
    recipes = [run.recipe(weight=weight) for weight in (0.1, 0.9)]
    recipes.append(run.recipe("dare_ties", weight=0.7, density=0.5))
    run.write_population(recipes)
    evaluate(run)
    before = [(scored(run, recipe), rows(run, recipe, "even")) for recipe in recipes]
    evaluate(run, on_vllm(run))
    for recipe, (old, items) in zip(recipes, before, strict=True):
        new = scored(run, recipe)
        assert new.weights == old.weights
        assert new.evaluation != old.evaluation
        assert len({row["response"] for row in items.values()}) > len(items) / 2
        assert rows(run, recipe, "even") == items


def test_neither_the_candidates_before_nor_the_storage_change_anything(tmp_path: Path) -> None:
    """A candidate after two others is the same as alone, in an engine of its own, from the disk."""
    run = run_of(tmp_path)
    recipes = [run.recipe(weight=weight) for weight in (0.2, 1.3, 0.6)]
    run.write_population(recipes)
    evaluate(run, on_vllm(run))
    before = run.candidate(recipes[-1]).outcome.read_bytes()
    answers = rows(run, recipes[-1], "even")
    run.write_population(recipes[-1:])
    for storage in ("scratch", "disk"):
        shutil.rmtree(run.files.series("ps").generation(0).weights(0), ignore_errors=True)
        run.candidate(recipes[-1]).outcome.unlink()
        config = on_vllm(run, storage=storage)
        if storage == "disk":
            materialize(run.files, config, "ps", 0, 0)
        evaluate(run, config)
        assert run.candidate(recipes[-1]).outcome.read_bytes() == before
        assert rows(run, recipes[-1], "even") == answers


@pytest.mark.parametrize(
    ("tensor", "value", "dtype", "kind"),
    [(STEEP, 1e5, "float16", "recipe"), ("lm_head.weight", 3e38, "float32", "model")],
)
def test_a_broken_candidate_fails_and_the_engine_goes_on(
    tmp_path: Path, tensor: str, value: float, dtype: Any, kind: str
) -> None:
    """A merge that is no number, and a model whose logits are none; then one that is sound."""
    whole = write_model(tmp_path / "models" / "broken", 3)
    sound = load_file(whole / "model.safetensors")[tensor]
    write_model(whole, 3, extra={tensor: torch.full_like(sound, value)})
    run = run_of(tmp_path, also=["broken"])
    bad, good = (
        run.recipe("linear", base=None, parents=(one,), weight=1.0, dtype=dtype, owner="base")
        for one in ("broken", "a")
    )
    run.write_population([bad, good])
    evaluate(run, on_vllm(run))
    failed = outcome(run, bad)
    assert isinstance(failed, Failed)
    assert failed.kind == kind
    assert "not finite" in failed.reason
    after = run.candidate(good).outcome.read_bytes()
    run.candidate(good).outcome.unlink()
    run.write_population([good])
    evaluate(run, on_vllm(run))
    assert run.candidate(good).outcome.read_bytes() == after


def test_a_prompt_that_is_too_long_loses_its_beginning(tmp_path: Path) -> None:
    """Both backends ask the same rest of it."""
    long = [
        {**row, "prompt": " ".join([row["prompt"]] * (1 + index % 3 * 40))}
        for index, row in enumerate(documents())
    ]
    run = run_of(tmp_path, rows=long, max_position_embeddings=96)
    recipe = run.recipe(weight=0.5)
    run.write_population([recipe])
    evaluate(run)
    before = rows(run, recipe, "even")
    evaluate(run, on_vllm(run))
    assert rows(run, recipe, "even") == before
