"""The paper's tasks on a few made documents, without a network."""

# ruff: noqa: RUF001 - Japanese has its own question mark, digits and signs
from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.japanese.conftest import TASKS, MakeTask
from tests.runs_for_tests import evaluation_section, raw_config, write_parents
from tsugiki.config.load import parse_config
from tsugiki.evaluate.preflight import check_tasks

needs_packages = pytest.mark.usefixtures("answers")
ROOT = TASKS.parents[2]

QUESTIONS = [
    {"question": "卵が16個あります。7個を使いました。残りはいくつですか？", "answer_number": 9},
    {"question": "1個300円のりんごを4個買います。いくらですか？", "answer_number": 1200},
    {"question": "5本の鉛筆を2人で分けます。余りはいくつですか？", "answer_number": 1},
]
REPLIES = {
    9: "16から7を引きます。答えは9個です。",
    1200: "答えは1,200円です。",
    1: "The remainder is 1.",
}


@needs_packages
@pytest.mark.parametrize("name", ["mgsm_ja_paper", "gsm8k_ja"])
def test_maths_is_asked_as_in_the_paper_and_scored_either_way(
    make_task: MakeTask, name: str
) -> None:
    """A file of the columns `question` and `answer_number` takes the data set's place."""
    task = make_task(name, test=QUESTIONS)
    found = task.scores(
        ("acc", "acc_ja", "acc_ja_paper"), lambda one: REPLIES[one.doc["answer_number"]], 3
    )
    assert found == {"acc": [1, 1, 1], "acc_ja": [1, 1, 0], "acc_ja_paper": [1, 0, 0]}
    (first,) = task.prompts(1)
    prompt, settings = first.args
    assert prompt == (
        "以下に、あるタスクを説明する指示があります。リクエストを適切に完了するための回答を日本語で"
        "記述してください。一歩一歩考えましょう。\n\n### 指示:\n"
        f"{QUESTIONS[0]['question']}\n\n### 応答:"
    )
    assert settings["max_gen_toks"] == 1024
    assert settings["until"] == ["Instruction:", "Instruction", "Response:", "Response"]


PICTURES = [
    {
        "file_name": "1.png",
        "colour": "red",
        "question": "何色ですか？",
        "answer": "赤い車が道路を走っています。",
    },
    {"file_name": "2.png", "colour": "blue", "question": "何ですか？", "answer": "青い空です。"},
]
SAID = {
    "赤い車が道路を走っています。": "赤い車です。",
    "青い空です。": "There is a wide blue sky above the houses: 空",
}


@needs_packages
@pytest.mark.parametrize("name", ["ja_vlm_bench_in_the_wild", "ja_vg_vqa_500"])
def test_pictures_are_shown_and_asked_about_as_in_the_paper(make_task: MakeTask, name: str) -> None:
    """The first question of each picture counts; an answer that is not Japanese is worth nothing."""
    rows = PICTURES
    if name == "ja_vg_vqa_500":
        other = {"question": "他には？", "answer": "なし"}
        rows = [
            {**{key: one[key] for key in ("file_name", "colour")}, "qas": [qa, other]}
            for one in PICTURES
            for qa in [{key: one[key] for key in ("question", "answer")}]
        ]
    splits = {"train": rows, "test": rows} if name == "ja_vg_vqa_500" else {"test": rows}
    task = make_task(name, **splits)
    found = task.scores(("rouge_l_ja", "rouge_l"), lambda one: SAID[one.doc["answer"]], 2)
    assert found["rouge_l_ja"] == pytest.approx([3 / 7, 0.0])  # 2 * 3/4 * 3/10 / (3/4 + 3/10)
    assert found["rouge_l"][0] == pytest.approx(3 / 7)
    assert found["rouge_l"][1] > 0
    first, second = task.prompts(2)
    prompt, settings, shown = first.args
    assert prompt == (
        "[INST] <<SYS>>\nあなたは役立つ、偏見がなく、検閲されていないアシスタントです。与えられた画像を下に、"
        "質問に答えてください。\n<</SYS>>\n\n<image>\n何色ですか？ [/INST]"
    )
    assert [
        one.image.getpixel((0, 0)) for one in (*shown["visual"], *second.args[2]["visual"])
    ] == [
        (255, 0, 0),
        (0, 0, 255),
    ]
    assert (settings["num_beams"], settings["repetition_penalty"], settings["max_gen_toks"]) == (
        5,
        1.5,
        512,
    )


def test_absent_packages_are_a_fault_of_the_task_before_its_documents_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tsugiki check` names the extra, and nothing is fetched or merged without it."""
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "fasttext" else there(name)
    )
    shutil.copytree(TASKS, tmp_path / "tasks")  # another module than one that was loaded before
    objective = {"name": "maths", "task": "mgsm_ja_paper", "metric": "acc_ja,none"}
    section = evaluation_section(tmp_path / "tasks", objectives=[objective])
    raw = raw_config(
        write_parents(tmp_path), tmp_path / "tasks", tmp_path / "results", evaluation=section
    )
    (fault,) = check_tasks(parse_config(raw, where="test")).faults
    assert "not installed" in fault.what
    assert fault.expected == "the extra `japanese`"
    assert str(fault.got).startswith("no ")
    assert "fasttext-predict" in str(fault.got)  # and whatever else is not here


def names(lock: str) -> set[str]:
    """The packages of a lock, or of a list in pyproject.toml."""
    return {
        one.lower().replace("_", "-")
        for one in re.findall(r"^[ \"]*([\w-]+)[=>]", lock, re.MULTILINE)
    }


@needs_packages
def test_the_lock_has_what_the_metrics_import(answers: ModuleType) -> None:
    """Together with the project's own, which it repeats nothing of; and so has the extra."""
    own = names((ROOT / "envs" / "japanese.lock").read_text("utf-8"))
    project = names((ROOT / "envs" / "requirements.lock").read_text("utf-8"))
    extra = re.search(
        r"^japanese = \[(.*?)^\]",
        (ROOT / "pyproject.toml").read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    needed = {one.replace("_", "-") for one in answers.PACKAGES.values()}
    assert extra is not None
    assert not own & project
    assert needed <= own | project
    assert names(extra[1]) == needed
