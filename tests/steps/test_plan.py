"""What results depend on, and what they do not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runs_for_tests import raw_config, write_tasks
from tsugiki.config.load import parse_config
from tsugiki.lineage.layout import RunFiles
from tsugiki.steps.plan import Plan

Change = Callable[[dict[str, Any]], object]
KEYS = ("stage", "evaluation", "parents", "baselines", "finalists", "tracking")


def plan_of(raw: dict[str, Any]) -> Plan:
    """The plan of a configuration."""
    config = parse_config(raw, where="test")
    return Plan(RunFiles(Path("results/tiny")), config)


def keys(raw: dict[str, Any]) -> dict[str, str]:
    """All keys of a configuration's plan."""
    plan = plan_of(raw)
    return {
        "stage": plan.stage_key("ps"),
        "evaluation": plan.evaluation_key(),
        "parents": plan.parents_key(),
        "baselines": plan.baselines_key(),
        "finalists": plan.finalists_key(),
        "tracking": plan.tracking_key(),
    }


@pytest.fixture
def raw() -> dict[str, Any]:
    """A configuration."""
    return raw_config(Path("models"), Path("tasks"), Path("results"))


CHANGES: list[tuple[str, Change, set[str]]] = [
    ("generations", lambda raw: raw["stages"][0]["budget"].update(generations=9), set()),
    ("threads", lambda raw: raw["evaluation"].update(threads=4), set()),
    ("storage", lambda raw: raw["evaluation"].update(storage="disk"), set()),
    ("resident", lambda raw: raw["evaluation"].update(resident=True), set()),
    ("results", lambda raw: raw.update(results="elsewhere"), set()),
    ("stagnation", lambda raw: raw["stages"][0]["budget"].update(stagnation=2), {"stage"}),
    ("strategy", lambda raw: raw["stages"][0]["strategy"].update(sigma=0.3), {"stage"}),
    ("batch size", lambda raw: raw["evaluation"].update(batch_size=2), {"evaluation"}),
    ("items", lambda raw: raw["evaluation"]["items"].update(search=9), {"evaluation"}),
    (
        "goal as before tasks were asked",
        lambda raw: raw["evaluation"]["objectives"][0].update(goal="maximize"),
        set(),
    ),
    (
        "another goal",
        lambda raw: raw["evaluation"]["objectives"][0].update(goal="minimize"),
        {"evaluation"},
    ),
    (
        "document keys",
        lambda raw: raw["evaluation"].update(document_keys={"words": "target"}),
        {"evaluation"},
    ),
    ("parents", lambda raw: raw["parents"]["a"].update(path="other"), {"parents"}),
    ("baselines", lambda raw: raw.update(baselines=[]), {"baselines"}),
    ("finalists", lambda raw: raw.update(finalists={"top": 3}), {"finalists"}),
    ("tracking", lambda raw: raw.update(tracking={"enabled": False}), {"tracking"}),
    ("seed", lambda raw: raw.update(seed=2), {"stage", "evaluation", "baselines"}),
    (
        "format",
        lambda raw: raw["stages"][0]["space"].update(dtype="bfloat16"),
        {"stage", "baselines"},
    ),
]


@pytest.mark.parametrize(
    ("change", "expected"), [one[1:] for one in CHANGES], ids=[one[0] for one in CHANGES]
)
def test_a_change_makes_new_only_what_depends_on_it(
    raw: dict[str, Any], change: Change, expected: set[str]
) -> None:
    """A longer budget, say, goes on where the run ended."""
    before = keys(raw)
    changed = copy.deepcopy(raw)
    change(changed)
    after = keys(changed)
    assert {name for name in KEYS if before[name] != after[name]} == expected


def test_files_follow_one_another(raw: dict[str, Any]) -> None:
    """Paths are those of the layout; each generation comes from the one before."""
    plan = plan_of(raw | {"evaluation": raw["evaluation"] | {"jobs": 2}})

    class Wildcards:
        """What Snakemake passes to an input function."""

        stage = series = "ps"
        gen = "002"
        finalists = "finalists"

    folder = "results/tiny/ps/gen-002"
    assert (
        plan.path("population.json").format(series="ps", gen="002") == f"{folder}/population.json"
    )
    assert plan.before("state.npz")(Wildcards) == "results/tiny/ps/gen-001/state.npz"
    assert plan.evaluated_of(Wildcards) == [f"{folder}/evaluated-{job}.json" for job in (0, 1)]
    outcomes = [f"results/tiny/ps/gen-00{n}/outcomes.json" for n in range(3)]
    assert plan.searched_by(Wildcards) == plan.all_outcomes() == outcomes
    assert plan.state_after(Wildcards) == "results/tiny/ps/gen-003/state.npz"
    assert plan.models_before(Wildcards) == []


def test_tracking_is_one_chain(raw: dict[str, Any]) -> None:
    """MLflow's store has one writer at a time: each mark waits for the one before."""
    plan = plan_of(raw)
    marks = plan.tracked()
    assert len(marks) == len(set(marks)) == 3 + 3

    class Wildcards:
        """What Snakemake passes to an input function."""

        def __init__(self, series: str, gen: str) -> None:
            self.series, self.gen = series, gen

    order = [("ps", "000"), ("ps", "001"), ("ps", "002")]
    order += [(name, "000") for name in plan.finals]
    before = [plan.tracked_before(Wildcards(*one)) for one in order]
    assert before == [[], *([mark] for mark in marks[:-1])]


def test_task_files_are_those_that_people_write(raw: dict[str, Any], tmp_path: Path) -> None:
    """YAML, code and data, in a fixed order; not what Python caches."""
    folder = write_tasks(tmp_path / "tasks")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "tiny.pyc").write_bytes(b"")
    plan = plan_of(raw | {"evaluation": raw["evaluation"] | {"task_paths": [str(folder)]}})
    names = [Path(path).name for path in plan.task_files()]
    assert names == ["choice.yaml", "documents.json", "tiny.py", "words.yaml"]
