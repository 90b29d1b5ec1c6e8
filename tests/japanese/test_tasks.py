"""The paper's tasks on a few made documents, without a network."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.japanese.conftest import TASKS, MakeTask
from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import ConfigError
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.offline import without_network
from tsugiki.evaluate.readers import Reader

needs_packages = pytest.mark.usefixtures("answers")
ROOT = TASKS.parents[2]

QUESTIONS = [
    {"question": "卵が16個あります。7個を使いました。残りはいくつですか？", "answer_number": 9},  # noqa: RUF001
    {"question": "1個300円のりんごを4個買います。いくらですか？", "answer_number": 1200},  # noqa: RUF001
    {"question": "5本の鉛筆を2人で分けます。余りはいくつですか？", "answer_number": 1},  # noqa: RUF001
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
    first, *_ = task.harness("acc_ja").requests(Reader(), f"my_{name}", [0])
    prompt, settings = first.args
    assert prompt == (
        "以下に、あるタスクを説明する指示があります。リクエストを適切に完了するための回答を日本語で"
        "記述してください。一歩一歩考えましょう。\n\n### 指示:\n"
        f"{QUESTIONS[0]['question']}\n\n### 応答:"
    )
    assert settings["max_gen_toks"] == 1024
    assert settings["until"] == ["Instruction:", "Instruction", "Response:", "Response"]


def test_absent_packages_are_a_fault_of_the_task_before_its_documents_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So `tsugiki check` names the extra, and nothing is fetched or merged without it."""
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "fasttext" else there(name)
    )
    shutil.copytree(TASKS, tmp_path / "tasks")  # another module than one that was loaded before
    objective = {"name": "maths", "task": "mgsm_ja_paper", "metric": "acc_ja,none"}
    section = {"task_paths": [str(tmp_path / "tasks")], "objectives": [objective]}
    with without_network(), pytest.raises(ConfigError, match="not installed") as caught:
        Harness(Evaluation.model_validate(section))
    assert caught.value.expected == "the extra `japanese`"
    assert caught.value.got == "no fasttext-predict"


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
