# ruff: noqa: RUF001 - Japanese has its own question mark and colon
"""JP-LMEH's nine tasks on a few made documents: prompts, shots and scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.japanese.conftest import TASKS, MakeTask, Row, load
from tsugiki.config.lm_eval_tasks import group_members, local_tasks
from tsugiki.evaluate.evaluators.tasks import task_index

HEAD = "以下は、タスクを説明する指示と、文脈のある入力の組み合わせです。要求を適切に満たす応答を書きなさい。\n\n"


@dataclass(frozen=True)
class Case:
    """A task with documents of two of its splits, and what a model says of the second split's."""

    shots: int
    example: Row
    asked: tuple[Row, Row]
    said: tuple[str, str]
    """The answer, or the choice that is likeliest: right once, and wrong once."""
    prompt: str
    """How the first prompt ends."""
    split: str = "validation"
    right: float = 1.0


def chosen(question: str, label: int) -> Row:
    """A question of JCommonsenseQA."""
    return {"question": question, "label": label} | {f"choice{n}": f"{n}番" for n in range(5)}


def read(question: str, answers: list[str], **columns: Any) -> Row:
    """A question with several right answers."""
    return {"question": question, "answers": {"text": answers}} | columns


def pair(answer: str) -> Row:
    """Two sentences of XWinograd."""
    return {"sentence1": "犬が走る。", "sentence2": "走るが犬。", "answer": answer}


CASES = {
    "jcommonsenseqa": Case(
        3,
        chosen("例は？", 0),
        (chosen("どれですか？", 3), chosen("次は？", 1)),
        ("3番", "4番"),
        "### 指示：\n出力は以下から選択してください：\n- 0番\n- 1番\n- 2番\n- 3番\n- 4番\n\n"
        "### 入力：\nどれですか？\n\n### 応答：",
    ),
    "jnli": Case(
        3,
        {"sentence1": "犬が走る。", "sentence2": "犬がいる。", "label": 0},
        (
            {"sentence1": "猫が眠る。", "sentence2": "猫が走る。", "label": 1},
            {"sentence1": "猫が眠る。", "sentence2": "夜だ。", "label": 2},
        ),
        ("矛盾", "含意"),
        "含意\n矛盾\n中立\n\n### 入力：\n前提：猫が眠る。\n仮説：猫が走る。\n\n### 応答：",
    ),
    "marc_ja": Case(
        3,
        {"sentence": "良い品。", "label": 0},
        ({"sentence": "壊れた。", "label": 1}, {"sentence": "好きだ。", "label": 0}),
        ("ネガティブ", "ネガティブ"),
        "のいずれかに分類してください。\n\n### 入力：\n壊れた。\n\n### 応答：",
    ),
    "jsquad": Case(
        2,
        read("色は？", ["赤"], context="車 [SEP] 赤い車。"),
        (
            read("首都は？", ["東京都", "東京"], context="日本 [SEP] 首都は東京。"),
            read("川は？", ["信濃川"], context="川 [SEP] 長いのは信濃川。"),
        ),
        (" 東京\n", "利根川"),
        "### 入力：\n文脈：首都は東京。\n質問：首都は？\n\n### 応答：",
    ),
    "jaqket_v2": Case(
        1,
        read("色は？", ["赤"], ctxs={"text": ["赤い車。"]}),
        (
            read("首都は？", ["東京"], ctxs={"text": ["首都は東京。", "人が多い。"]}),
            read("川は？", ["信濃川"], ctxs={"text": ["長い。", "水。"]}),
        ),
        ("東京", ""),
        "### 入力：\n文脈：首都は東京。\n人が多い。\n質問：首都は？\n\n### 応答：",
    ),
    "xlsum_ja": Case(
        1,
        {"text": "犬が走った。", "summary": "犬。"},
        (
            {"text": "赤い車が走っていた。", "summary": "赤い車が道路を走っています。"},
            {"text": "猫が眠った。", "summary": "猫が眠った。"},
        ),
        ("赤い車です。", "雨"),
        "### 入力：\nニュース記事：赤い車が走っていた。\n\n### 応答：",
        split="test",
        right=1 / 6,  # one of three pairs of morphemes, and of nine: 2 * 1/3 * 1/9 / (1/3 + 1/9)
    ),
    "xwinograd_ja": Case(
        0, pair("1"), (pair("1"), pair("2")), ("犬が走る。", "犬が走る。"), "", split="test"
    ),
    "mgsm": Case(
        5,
        {
            "question": "問題：1に2を足すと？",
            "answer": "ステップごとの答え：答えは3です。",
            "answer_number": 3,
        },
        (
            {"question": "300の4倍は？", "answer": None, "answer_number": 1200},
            {"question": "5引く2は？", "answer": "答えは3です。", "answer_number": 3},
        ),
        ("300×4＝1,200です。", "答えは2です。"),
        "ステップごとに答えを導き出してください。\n\n### 入力：\n300の4倍は？\n\n### 応答：",
        split="test",
    ),
    "jcola": Case(
        3,
        {"sentence": "犬が走る。", "label": 1},
        ({"sentence": "走るが犬。", "label": 0}, {"sentence": "猫が眠る。", "label": 1}),
        ("いいえ", "いいえ"),
        "出力は以下から選択してください：\nはい\nいいえ\n\n### 入力：\n走るが犬。\n\n### 応答：",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_task_is_asked_with_its_shots_and_scored(
    make_task: MakeTask, name: str, request: pytest.FixtureRequest
) -> None:
    """The right answer to the first document counts, the wrong one to the second does not."""
    if name == "xlsum_ja":
        request.getfixturevalue("answers")  # the others need no packages
    case = CASES[name]
    rows = {case.split: case.asked}
    if case.shots:
        rows["train"] = tuple({**case.example, "number": str(place)} for place in range(8))
        rows[case.split] = tuple({**one, "number": "-1"} for one in case.asked)
    task = make_task(f"jp_lmeh_{name}", **rows)
    found = task.scores(("score",), lambda one: case.said[one.doc_id], 2)
    assert found == {"score": pytest.approx([case.right, 0.0])}
    prompt = task.prompts(1)[0].args[0]
    assert prompt.endswith(case.prompt)
    assert prompt.startswith(HEAD if case.shots else "")
    assert prompt.count("### 入力：") == (case.shots + 1 if case.prompt else 0)


def test_the_group_is_nine_tasks_with_one_metric_and_the_harness_shots() -> None:
    """Which a mean over tasks needs; the shots are those of jp-stable's scripts and of its page on JCoLA."""
    members = group_members("jp_lmeh_paper", [TASKS])
    assert members == [f"jp_lmeh_{name}" for name in CASES]
    assert [case.shots for case in CASES.values()] == [3, 3, 3, 2, 1, 1, 0, 5, 3]
    found = local_tasks([TASKS])
    assert all("score,none" in found[one].metrics for one in members)
    group = yaml.safe_load((TASKS / "jp_lmeh_paper.yaml").read_text("utf-8"))
    assert group["aggregate_metric_list"] == [{"metric": "score", "weight_by_size": False}]


def test_the_group_needs_no_index_of_all_that_comes_with_lm_eval() -> None:
    """Which takes ten seconds, at each start of a process; its members are local."""
    index = task_index(["jp_lmeh_paper"], [str(TASKS)], local_tasks([TASKS])).task_index
    assert {"jp_lmeh_paper", *(f"jp_lmeh_{name}" for name in CASES)} <= index.keys()
    assert "mmlu" not in index


def test_jcola_has_what_matthews_correlation_is_made_of() -> None:
    """The right choice and the likeliest one."""
    leaderboard = load("leaderboard")
    scores = leaderboard.score_acceptability({"label": 0}, [(-3.0, False), (-1.0, True)])
    assert scores == {"score": 0.0, "mcc": (0, 1)}
