"""What is said of an edit to a run that has begun, and what is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runs_for_tests import raw_config, second_stage, write_tasks
from tsugiki.config.lm_eval_tasks import task_sources
from tsugiki.config.load import dump_config, parse_config
from tsugiki.contracts.document_sets import DocumentSets
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import LineageError
from tsugiki.steps.changes import announce_changes

Change = Callable[[dict[str, Any]], object]


class Begun:
    """A run with ranked generations, as far as edits are compared with it."""

    def __init__(self, folder: Path, *recorded: str) -> None:
        self.tasks = write_tasks(folder / "tasks")
        self.raw = raw_config(Path("models"), self.tasks, folder / "results")
        self.raw["evaluation"]["monitors"] = [
            {"name": "exact", "task": "words", "metric": "exact_match,none"}
        ]
        self.raw["stages"].append(second_stage())
        config = parse_config(self.raw, where="x")
        self.files = RunFiles(folder / "results" / "tiny")
        for name in recorded:
            outcomes = self.files.phase(name).generation(0).outcomes
            outcomes.parent.mkdir(parents=True)
            outcomes.touch()
        self.files.root.mkdir(parents=True, exist_ok=True)
        self.files.config.write_bytes(dump_config(config))
        recorded_tasks = {"tasks": task_sources(config.evaluation)}
        self.files.environment.write_text(json.dumps(recorded_tasks))

    def said(self, change: Change) -> list[str]:
        """What is said of an edited configuration."""
        raw = copy.deepcopy(self.raw)
        change(raw)
        lines: list[str] = []
        announce_changes(self.files, parse_config(raw, where="x"), log=lines.append)
        return [line.removeprefix("changed since the last start: ") for line in lines]


@pytest.fixture
def begun(tmp_path: Path) -> Begun:
    """Its first stage has a ranked generation."""
    return Begun(tmp_path, "ps")


def first(raw: dict[str, Any]) -> dict[str, Any]:
    """The first stage."""
    stage: dict[str, Any] = raw["stages"][0]
    return stage


REPLACING: list[tuple[str, Change]] = [
    ("`seed` 1 → 2", lambda raw: raw.update(seed=2)),
    ("`evaluation.items.search` 8 → 9", lambda raw: raw["evaluation"]["items"].update(search=9)),
    ("`evaluation.num_fewshot` null → 1", lambda raw: raw["evaluation"].update(num_fewshot=1)),
    (
        '`evaluation.objectives[choice].metric` "acc,none" → "acc,strict"',
        lambda raw: raw["evaluation"]["objectives"][1].update(metric="acc,strict"),
    ),
    (
        "`evaluation.objectives[even].weight` 1.0 → 2.0",
        lambda raw: raw["evaluation"]["objectives"][0].update(weight=2.0),
    ),
    (
        "`stages[ps].strategy.population` 4 → 6",
        lambda raw: first(raw)["strategy"].update(population=6),
    ),
    (
        "`stages[ps].space.genes.weight.range` [0.0, 1.5] → [0.0, 1.0]",
        lambda raw: first(raw)["space"]["genes"]["weight"].update(range=[0.0, 1.0]),
    ),
    (
        '`stages[ps].parents` ["a", "b"] → ["b", "a"]',
        lambda raw: first(raw).update(parents=["b", "a"]),
    ),
    ("`parents.b.path`", lambda raw: raw["parents"]["b"].update(path="elsewhere")),
]


@pytest.mark.parametrize(("words", "change"), REPLACING, ids=[one[0] for one in REPLACING])
def test_recorded_results_are_not_replaced(begun: Begun, words: str, change: Change) -> None:
    """The key and both values are named, and what to do instead."""
    with pytest.raises(LineageError, match="would be replaced") as caught:
        begun.said(change)
    assert words in str(caught.value.got)
    assert "another `name`" in str(caught.value.fix)


@pytest.mark.parametrize(("words", "change"), REPLACING, ids=[one[0] for one in REPLACING])
def test_before_a_generation_is_ranked_edits_are_only_told(
    tmp_path: Path, words: str, change: Change
) -> None:
    """There is nothing to lose."""
    assert any(words in line for line in Begun(tmp_path).said(change))


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_a_goal_that_the_task_decided_is_not_set_otherwise_midway(begun: Begun, goal: str) -> None:
    """Generations ranked in two directions cannot be compared."""
    items = DocumentSets(version=2, tasks={}, goals={"even": "minimize", "choice": "maximize"})
    begun.files.items.write_bytes(items.to_json())
    assert begun.said(lambda _raw: None) == []
    with pytest.raises(LineageError, match="would be replaced") as caught:
        begun.said(lambda raw: raw["evaluation"]["objectives"][0].update(goal=goal))
    assert f'`evaluation.objectives[even].goal` null → "{goal}"' in str(caught.value.got)


def test_goals_that_an_older_version_wrote_out_are_no_change(begun: Begun) -> None:
    """Such a run goes on, and its tasks may be moved."""
    old = copy.deepcopy(begun.raw)
    for objective in [*old["evaluation"]["objectives"], *old["evaluation"]["monitors"]]:
        objective["goal"] = "maximize"
    begun.files.config.write_bytes(dump_config(parse_config(old, where="x")))
    assert begun.said(lambda _raw: None) == []
    (line,) = begun.said(
        lambda raw: raw["evaluation"].update(task_paths=[raw["evaluation"]["task_paths"][0] + "/."])
    )
    assert line.startswith("`evaluation.task_paths`")
    assert "].goal" not in line


def test_a_begun_climb_keeps_its_start(tmp_path: Path) -> None:
    """It starts from a baseline of the run: another grid would start it anew.

    Before it has begun, nothing stands in the way; and rivals are added to a run with a word.
    """

    def other_grid(raw: dict[str, Any]) -> None:
        grid = {"name": "grid", "method": "task_arithmetic", "parameters": {"weight": [0.1, 0.2]}}
        raw.update(baselines=[grid])

    begun = Begun(tmp_path, "ps")
    begun.raw["stages"].pop()
    begun.raw["rivals"] = ["climb"]
    begun.files.config.write_bytes(dump_config(parse_config(begun.raw, where="x")))
    assert any("baselines and the final table" in line for line in begun.said(other_grid))
    (line,) = begun.said(lambda raw: raw.update(rivals=["climb", "random"]))
    assert line.endswith("the final table is made anew with other rivals")
    (line,) = begun.said(lambda raw: first(raw)["budget"].update(generations=5))
    assert "what follows from stage ps is done anew" in line
    outcomes = begun.files.phase("ps-climb").generation(0).outcomes
    outcomes.parent.mkdir(parents=True)
    outcomes.touch()
    with pytest.raises(LineageError, match=r"`baselines\[.*stage ps-climb starts anew"):
        begun.said(other_grid)


SPREADING: list[Change] = [
    lambda raw: raw["evaluation"].update(jobs=4, threads=3, storage="disk", resident=True),
    lambda _raw: None,
]


@pytest.mark.parametrize("change", SPREADING, ids=["how", "nothing"])
def test_nothing_is_said_where_nothing_is_done_anew(begun: Begun, change: Change) -> None:
    """How work is spread changes no result."""
    assert begun.said(change) == []


GOING_ON: list[tuple[str, Change]] = [
    (
        "`stages[ps].budget.generations` 3 → 5: what follows from stage ps is done anew",
        lambda raw: first(raw)["budget"].update(generations=5),
    ),
    ("stage dfs starts anew", lambda raw: raw["stages"][1]["strategy"].update(flips=2.0)),
    (
        "`finalists.top` 8 → 3: finalists are chosen anew",
        lambda raw: raw.update(finalists={"top": 3}),
    ),
    ("`tracking.enabled` true → false", lambda raw: raw.update(tracking={"enabled": False})),
    (
        "baselines and the final table are made anew",
        lambda raw: raw.update(
            baselines=[{"name": "mean", "method": "linear", "parameters": {"weight": 1.0}}]
        ),
    ),
    (
        "steps are planned again, and what has a score keeps it",
        lambda raw: raw["evaluation"].update(
            task_paths=[raw["evaluation"]["task_paths"][0] + "/."]
        ),
    ),
]


@pytest.mark.parametrize(("words", "change"), GOING_ON, ids=[one[0] for one in GOING_ON])
def test_what_replaces_no_search_goes_on_with_a_word(
    begun: Begun, words: str, change: Change
) -> None:
    """One line for each thing that is done anew."""
    (line,) = begun.said(change)
    assert words in line


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: first(raw)["budget"].update(generations=5),
        lambda raw: raw.update(finalists={"top": 3}),
    ],
    ids=["generations", "finalists"],
)
def test_a_later_stage_keeps_the_result_that_it_merges(tmp_path: Path, change: Change) -> None:
    """Another best model of the first stage would start a recorded second stage anew."""
    with pytest.raises(LineageError, match="would be replaced"):
        Begun(tmp_path, "ps", "dfs").said(change)


def test_a_task_whose_files_have_changed_is_told(begun: Begun) -> None:
    """Those that it uses: notes beside it are none of them."""
    (begun.tasks / "notes.txt").write_text("to do")
    assert begun.said(lambda _raw: None) == []
    code = begun.tasks / "tiny.py"
    code.write_text(code.read_text() + "\n")
    with pytest.raises(LineageError, match="would be replaced") as caught:
        begun.said(lambda _raw: None)
    assert "files of the task words have changed" in str(caught.value.got)


def test_a_run_without_a_record_of_its_tasks_goes_on(begun: Begun) -> None:
    """Older versions wrote none."""
    begun.files.environment.write_text("{}")
    (begun.tasks / "tiny.py").touch()
    assert begun.said(lambda _raw: None) == []


def test_a_configuration_that_cannot_be_compared_is_refused(begun: Begun) -> None:
    """Nobody could say what would be replaced."""
    begun.files.config.write_text("name: [")
    with pytest.raises(LineageError, match="cannot be read"):
        begun.said(lambda _raw: None)
