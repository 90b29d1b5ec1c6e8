"""Candidates whose answers are generated in fixed shapes; here each step is taken, not repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from tests.conftest import MakeRun
from tests.evaluate.test_batch import evaluate, rows, scored
from tests.evaluate.test_captured import TakenDecoding
from tests.runs_for_tests import TinyRun
from tsugiki.evaluate import candidate_model, language_model
from tsugiki.evaluate.candidate_model import CandidateModel
from tsugiki.evaluate.fixed_shape import NotCapturedError
from tsugiki.evaluate.language_model import LanguageModel
from tsugiki.recipe.dataflow import DataflowRecipe, Hop


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU."""
    monkeypatch.setattr(language_model, "CapturedDecoding", TakenDecoding)

    def on_gpu(*arguments: Any, **named: Any) -> LanguageModel:
        return LanguageModel(*arguments, **(named | {"cuda_graphs": True}))

    monkeypatch.setattr(candidate_model, "LanguageModel", on_gpu)


def items(run: TinyRun) -> list[Any]:
    """All that is recorded of three candidates' answers, scored anew."""
    recipes = [run.recipe(weight=weight) for weight in (0.1, 0.9)]
    recipes.append(run.recipe("dare_ties", weight=0.7, density=0.5))
    run.write_population(recipes)
    for recipe in recipes:
        run.candidate(recipe).outcome.unlink(missing_ok=True)
    evaluate(run)
    return [(scored(run, one).measured, rows(run, one, "even")) for one in recipes]


def test_records_are_those_of_generate(
    make_run: MakeRun, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32: every answer, cut at the same places, whatever was there before."""
    run = make_run()
    expected = items(run)
    request.getfixturevalue("captured")
    taken: list[int] = []
    repeat = TakenDecoding._repeat

    def noting(self: TakenDecoding, shape: Any, steps: int) -> None:
        taken.append(steps)
        repeat(self, shape, steps)

    monkeypatch.setattr(TakenDecoding, "_repeat", noting)
    assert items(run) == expected
    assert taken


def test_what_cannot_be_captured_is_generated(
    make_run: MakeRun,
    captured: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And the log says so, once for a live model."""
    del captured

    def refuse(_model: Any) -> None:
        raise NotCapturedError("of a kind that is not known")

    monkeypatch.setattr("tsugiki.evaluate.captured.require_capturable", refuse)
    found = items(make_run())
    assert len(found) == 3
    assert [record.args for record in caplog.records if "step by step" in record.msg] != []
    assert len(caplog.records) == 1


def test_kept_memory_gives_way_to_other_requests(
    make_run: MakeRun, captured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log-likelihoods of a batch may need it; a batch that is too large alone is raised."""
    del captured
    run = make_run()
    call = HFLM._loglikelihood_tokens
    decodings: list[TakenDecoding] = []
    init = TakenDecoding.__init__

    def noting(self: TakenDecoding, *arguments: Any, **named: Any) -> None:
        init(self, *arguments, **named)
        decodings.append(self)

    def full(self: HFLM, *inputs: Any, **named: Any) -> Any:
        if decodings[0]._shapes:
            raise torch.OutOfMemoryError
        return call(self, *inputs, **named)

    monkeypatch.setattr(TakenDecoding, "__init__", noting)
    monkeypatch.setattr(HFLM, "_loglikelihood_tokens", full)
    assert len(items(run)) == 3
    assert len(decodings) == 1


def test_a_model_that_is_replaced_keeps_nothing(
    make_run: MakeRun, tiny_models: Path, captured: None
) -> None:
    """In data-flow space each candidate is a model of its own."""
    del captured
    run = make_run()
    folders = {name: tiny_models / name for name in run.digests}
    candidates = CandidateModel(folders, run.digests, run.config.evaluation)
    path = tuple(Hop(parent="a", layer=layer) for layer in range(2))
    recipe = DataflowRecipe(parents=(run.ref("a"),), path=path, dtype="float32", owner="a")
    models = [candidates.build(one)[0] for one in (run.recipe(weight=0.3), recipe, recipe)]
    assert [model._captured is None for model in models] == [True, True, False]
