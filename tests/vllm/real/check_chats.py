"""Chats and sampled answers of a real vLLM: the prompts of transformers, one BOS, seeds that hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.test_batch import evaluate, rows
from tests.evaluate.test_chat import CHATML, LLAMA_2, write_chat_tokenizer
from tests.runs_for_tests import (
    PARENTS,
    TinyRun,
    evaluation_section,
    raw_config,
    start_run,
    write_tasks,
)
from tests.vllm.real.models import WORDS, on_vllm, write_model
from tsugiki.evaluate.vllm_backend.language_model import VllmLanguageModel

BEGIN = 1
"""The tokenizer's BOS, which it begins each text with that has none."""


def chat_run(folder: Path, template: str, *, sample: bool = False, **changes: Any) -> TinyRun:
    """A run whose models have a chat template, and whose prompts have a system turn."""
    models, tasks = folder / "models", write_tasks(folder / "tasks", sample=sample)
    for seed, name in enumerate(("base", *PARENTS)):
        write_model(models / name, seed)
        write_chat_tokenizer(models / name, template)
    section = evaluation_section(
        tasks,
        objectives=WORDS,
        items={"search": 20, "validation": 3, "test": 4},
        apply_chat_template=True,
        system_instruction="w33 w34",
        **changes,
    )
    return start_run(raw_config(models, tasks, folder / "results", evaluation=section))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Takes the tokens of each prompt that vLLM is given."""
    found: list[list[int]] = []
    generate = VllmLanguageModel.generate_until

    def record(self: VllmLanguageModel, requests: Any, **named: Any) -> list[str]:
        answer = self._engine.generate

        def recorded(prompts: Any, settings: Any, **more: Any) -> Any:
            found.extend(list(one["prompt_token_ids"]) for one in prompts)
            return answer(prompts, settings, **more)

        with monkeypatch.context() as patch:
            patch.setattr(self._engine, "generate", recorded)
            return generate(self, requests, **named)

    monkeypatch.setattr(VllmLanguageModel, "generate_until", record)
    return found


@pytest.mark.parametrize("template", [LLAMA_2, CHATML], ids=["with BOS", "without"])
def test_both_backends_are_asked_the_same_chats_with_one_bos(
    tmp_path: Path, template: str, asked: list[list[int]]
) -> None:
    """The system turn is in each prompt, and what comes of it is the same, record by record."""
    run = chat_run(tmp_path, template)
    recipes = [run.recipe(weight=weight) for weight in (0.1, 0.9)]
    run.write_population(recipes)
    evaluate(run)
    before = [rows(run, recipe, "even") for recipe in recipes]
    evaluate(run, on_vllm(run))
    assert [rows(run, recipe, "even") for recipe in recipes] == before
    assert len({row["response"] for row in before[0].values()}) > 10
    assert len(asked) == 40
    vocabulary = json.loads((tmp_path / "models/base/tokenizer.json").read_text())["model"]["vocab"]
    system = [vocabulary["w33"], vocabulary["w34"]]
    for ids in asked:
        assert ids.count(BEGIN) == 1
        assert ids[0] == BEGIN
        assert any(ids[at : at + 2] == system for at in range(len(ids)))


def test_sampled_answers_are_the_same_again_and_beside_others(tmp_path: Path) -> None:
    """Each answer to a document is another one, and follows from the document and its number."""
    run = chat_run(tmp_path, CHATML, sample=True, repeats={"words": 3})
    recipe, other = (run.recipe(weight=weight) for weight in (0.3, 0.8))
    run.write_population([recipe])
    evaluate(run, on_vllm(run))
    alone = rows(run, recipe, "even")
    run.candidate(recipe).outcome.unlink()
    run.write_population([other, recipe])
    evaluate(run, on_vllm(run))
    assert rows(run, recipe, "even") == alone
    different = [len(set(json.loads(row["response"]))) for row in alone.values()]
    assert sum(different) > 2 * len(different)
