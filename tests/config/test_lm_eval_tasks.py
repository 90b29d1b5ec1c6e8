"""Task names and metrics, told without importing lm-eval."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks import TaskManager

from tests.runs_for_tests import write_tasks
from tsugiki.config.lm_eval_tasks import (
    built_in_names,
    built_in_tasks,
    group_members,
    included,
    local_tasks,
    metric_keys,
)
from tsugiki.config.load import parse_config
from tsugiki.config.validate import validate_config
from tsugiki.errors import ConfigError


def test_files_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    """lm-eval cannot load such a task, and says so when it tries; finding it ends."""
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("include: b.yaml\ntask: round\n")
    second.write_text("include: a.yaml\nmetric_list: [{metric: exact_match}]\n")
    assert local_tasks([tmp_path])["round"].metrics == ("exact_match,none",)
    assert included(first) == {second}


def test_local_tasks_are_found_with_their_metrics(tiny_tasks: Path) -> None:
    """By the name in the file, as lm-eval finds them."""
    found = local_tasks([tiny_tasks])
    manager = TaskManager(include_path=str(tiny_tasks), include_defaults=False)
    assert set(found) == set(manager.all_tasks) == {"words", "choice"}
    assert found["choice"].metrics == ("acc,none",)
    assert found["words"].metrics == ("even,none", "exact_match,none", "parsed,none")
    assert found["words"].path == tiny_tasks / "words.yaml"


def test_an_included_file_is_read_too(tmp_path: Path) -> None:
    """The file that includes goes first."""
    (tmp_path / "common").write_text("task: common\nmetric_list:\n  - metric: acc\n")
    (tmp_path / "mine.yaml").write_text("include: common\ntask: mine\n")
    assert local_tasks([tmp_path])["mine"].metrics == ("acc,none",)


def test_broken_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    """A folder of tasks may hold other files."""
    (tmp_path / "broken.yaml").write_text("a: [1")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "other.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "task.yaml").write_text("task: mine\ndoc_to_text: !function code.text\n")
    assert set(local_tasks([tmp_path])) == {"mine"}


def test_every_filter_makes_a_key_of_every_metric() -> None:
    """`metric,filter`; a metric of one's own is called by its function's name."""
    task = {
        "metric_list": [{"metric": "exact_match"}, {"metric": "!function code.share"}],
        "filter_list": [{"name": "strict"}, {"name": "flexible"}],
    }
    assert metric_keys(task) == (
        "exact_match,strict",
        "exact_match,flexible",
        "share,strict",
        "share,flexible",
    )
    assert metric_keys({}) == ()


@pytest.mark.parametrize(
    "name",
    [
        "mgsm_direct_ja",
        "ja_leaderboard_jcommonsenseqa",
        "japanese_leaderboard",
        "gsm8k",
        "mmlu_abstract_algebra",  # its file quotes the key
        "lambada_cloze",  # a tag in a list
        "tmmluplus_education_(profession_level)",
    ],
)
def test_names_that_come_with_lm_eval_are_known(name: str) -> None:
    """However its files write them down."""
    assert name in built_in_names()


def test_what_is_no_name_is_not_taken_for_one() -> None:
    """A typing error, and the dash of a list."""
    names = built_in_names()
    assert "mgsm_direct_jp" not in names
    assert "-" not in names
    assert len(names) > 10_000


def test_metrics_of_a_built_in_task_are_known_without_loading_it() -> None:
    """As lm-eval's own pages give them; a file may include another that holds the metrics."""
    found = built_in_tasks(["gsm8k", "mmlu_abstract_algebra", "japanese_leaderboard", "no_such"])
    assert found["gsm8k"].metrics == ("exact_match,strict-match", "exact_match,flexible-extract")
    assert found["mmlu_abstract_algebra"].metrics == ("acc,none",)
    assert "no_such" not in found


def test_lm_eval_and_torch_are_not_imported() -> None:
    """A typing error is told at once, not after half a minute."""
    script = (
        "import sys\n"
        "from tsugiki.config.lm_eval_tasks import built_in_names\n"
        "built_in_names()\n"
        "print([name for name in ('lm_eval', 'torch', 'transformers') if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_a_groups_tasks_are_known_through_groups_within_it() -> None:
    """MMLU has 57 subjects, in four groups."""
    members = group_members("mmlu")
    assert len(members) == 57
    assert "mmlu_abstract_algebra" in members
    assert "mmlu_stem" not in members
    assert group_members("mmlu_abstract_algebra") == group_members("no_such") == []


def test_a_group_is_refused_as_an_objective(tmp_path: Path, tiny_config: dict[str, Any]) -> None:
    """Its tasks are named; a local one, a tag, and one that comes with lm-eval."""
    folder = write_tasks(tmp_path / "tasks")
    (folder / "both.yaml").write_text("group: both\ntask: [words, {task: choice}]\n")
    with (folder / "words.yaml").open("a") as file:
        file.write("tag: [marked]\n")
    names = ("both", "marked", "mmlu_stem")
    tiny_config["evaluation"] |= {
        "task_paths": [str(folder)],
        "objectives": [{"name": name, "task": name, "metric": "acc,none"} for name in names],
    }
    with pytest.raises(ConfigError, match="3 faults") as caught:
        validate_config(parse_config(tiny_config, where="test"), where="test")
    text = str(caught.value)
    assert "'both' is a group of tasks; name one of them: words, choice; or say how" in text
    assert "'marked' is a group of tasks; name one of them: words; or say how" in text
    assert "'mmlu_stem' is a group of tasks; name one of them: mmlu_" in text


def test_a_file_that_is_no_yaml_is_named_where_a_task_is_missing(
    tmp_path: Path, tiny_config: dict[str, Any]
) -> None:
    """The task is not unknown: its file cannot be read."""
    folder = write_tasks(tmp_path / "tasks")
    with (folder / "words.yaml").open("a") as file:
        file.write("bad: [\n")
    tiny_config["evaluation"]["task_paths"] = [str(folder)]
    with pytest.raises(ConfigError, match="unknown task 'words'") as caught:
        validate_config(parse_config(tiny_config, where="test"), where="test")
    assert f"{folder / 'words.yaml'} cannot be read" in str(caught.value)
