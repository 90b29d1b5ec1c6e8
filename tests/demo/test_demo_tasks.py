"""The demo's tasks in the real harness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from tsugiki.demo.stories import join, sentences
from tsugiki.demo.tasks import (
    is_in_language,
    last_number,
    load_en_maths,
    load_ja_maths,
    rows,
    score_maths,
)
from tsugiki.demo.world import draw_fact
from tsugiki.keyed import generator

TASKS = Path(__file__).parents[2] / "config" / "tasks" / "demo"
NAMES = ("demo_ja_maths", "demo_en_maths", "demo_ja_reading", "demo_en_reading")


class Scripted(LM):
    """A model whose answer to a request is given by a function."""

    def __init__(self, answer: Callable[[Instance], str]) -> None:
        super().__init__()
        self.answer = answer

    def generate_until(self, requests: list[Instance], **_: Any) -> list[str]:
        """Answer each request."""
        return [self.answer(request) for request in requests]

    def loglikelihood(self, *_: Any, **__: Any) -> Any:
        """Fail: the demo's tasks only generate."""
        pytest.fail("a task of the demo asks for likelihoods")

    def loglikelihood_rolling(self, *_: Any, **__: Any) -> Any:
        """Fail, for the same reason."""
        pytest.fail("a task of the demo asks for likelihoods")


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    """The four tasks, loaded by lm-eval from their YAML files alone."""
    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    return dict(manager.load(list(NAMES))["tasks"])


def score(
    tasks: dict[str, Any], name: str, answer: Callable[[Instance], str], items: int = 20
) -> dict[str, float]:
    """Metrics of a scripted model on the first items of a task."""
    result = lm_eval.evaluate(
        Scripted(answer),
        {name: tasks[name]},
        samples={name: list(range(items))},
        bootstrap_iters=0,
        log_samples=True,
    )
    return {
        key.removesuffix(",none"): value
        for key, value in result["results"][name].items()
        if key.endswith(",none") and "stderr" not in key
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_expected_answer_scores_one(tasks: dict[str, Any], name: str) -> None:
    """A model that replies with the target is right on every metric."""
    scores = score(tasks, name, lambda request: request.doc["target"])
    assert scores
    assert set(scores.values()) == {1.0}


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_answer_scores_zero(tasks: dict[str, Any], name: str) -> None:
    """No expected answer ends in 99."""
    assert score(tasks, name, lambda request: request.doc["target"] + "99")["exact_match"] == 0.0


def test_the_right_number_in_the_wrong_language_is_no_match(tasks: dict[str, Any]) -> None:
    """An English answer to a Japanese problem has the number, not the language."""
    scores = score(tasks, "demo_ja_maths", lambda request: f"{request.doc['number']} apples.")
    assert scores == {"exact_match": 0.0, "number": 1.0, "language": 0.0, "parsed": 1.0}


def test_an_empty_answer_is_neither_parsed_nor_right(tasks: dict[str, Any]) -> None:
    """Silence scores 0 on all metrics."""
    assert set(score(tasks, "demo_ja_maths", lambda _: "").values()) == {0.0}


def test_the_last_number_counts() -> None:
    """The sum's operands are not the answer; full-width digits are digits."""
    document = {"number": 12, "language": "ja"}
    assert score_maths(document, ["3+9=12個です。"])["exact_match"] == 1.0
    assert score_maths(document, ["12+9=21個です。"])["exact_match"] == 0.0
    assert last_number("答えは１２個です") == 12
    assert last_number("りんご") is None


@pytest.mark.parametrize("text", ["あ", "アー", "漢", "々", "3+4=7個です。", "ﾄﾑ", "ねこ a"])
def test_japanese_is_told_by_its_scripts(text: str) -> None:
    """Kana and kanji, in any width, as soon as they are more than half of the letters."""
    assert is_in_language(text, "ja")
    assert not is_in_language(text, "en")


@pytest.mark.parametrize("text", ["a", "é", "3+4=7 apples.", "ａｂｃ", "a 猫 cat"])  # noqa: RUF001
def test_english_is_told_by_its_script(text: str) -> None:
    """Digits and signs do not count."""
    assert is_in_language(text, "en")
    assert not is_in_language(text, "ja")


@pytest.mark.parametrize("text", ["", "7", "。 ×", "ねこ ab", "Ж"])  # noqa: RUF001
def test_a_text_of_neither_script_or_of_both_alike_is_in_no_language(text: str) -> None:
    """Silence, a bare number, signs, half and half, and another script."""
    assert not is_in_language(text, "ja")
    assert not is_in_language(text, "en")


def test_documents_are_distinct_and_parallel() -> None:
    """Each document occurs once, and row by row both languages ask for the same number."""
    japanese, english = rows("maths", "ja", 500), rows("maths", "en", 500)
    assert len({row["prompt"] for row in japanese}) == len(japanese)
    assert [row["number"] for row in japanese] == [row["number"] for row in english]


def test_documents_are_the_same_in_every_process(tasks: dict[str, Any]) -> None:
    """A fixed key draws them: the first rows do not depend on how many are drawn."""
    loaded = tasks["demo_ja_maths"].dataset["test"]
    assert [loaded[index] for index in range(50)] == rows("maths", "ja", 50)
    assert len(loaded) == 2000


def test_no_task_document_tells_a_training_story() -> None:
    """The stories of all tasks are held out from training."""
    rng = generator("test-tasks")
    training = {join(sentences(draw_fact(rng, held_out=False), "ja"), "ja") for _ in range(4000)}
    for kind in ("maths", "reading"):
        for row in rows(kind, "ja", 500):
            first, second, _ = row["prompt"].removeprefix("Q:").split("。", 2)
            assert f"{first}。{second}。" not in training


def test_expected_answers_fit_the_token_limit(tasks: dict[str, Any]) -> None:
    """The longest target and its end token are within max_gen_toks."""
    from tsugiki.demo.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    for name in NAMES:
        limit = tasks[name].config.generation_kwargs["max_gen_toks"]
        targets = [row["target"] for row in tasks[name].dataset["test"]]
        encoded = tokenizer(targets, add_special_tokens=False).input_ids
        assert max(len(ids) for ids in encoded) + 1 <= limit


def test_another_seed_poses_other_questions() -> None:
    """As a task's file says; the two languages still ask the same, in the same order."""
    english, japanese = (load(seed=2)["test"] for load in (load_en_maths, load_ja_maths))
    assert english["number"] == japanese["number"]
    first = {one["prompt"] for one in load_ja_maths()["test"]}
    assert len(first & set(japanese["prompt"])) < len(first) / 4
