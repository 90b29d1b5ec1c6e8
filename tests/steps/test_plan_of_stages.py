"""The plan of a run whose stages build on each other."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.runs_for_tests import raw_config, second_stage
from tsugiki.config.load import parse_config
from tsugiki.contracts.layout import RunFiles
from tsugiki.steps.plan import Plan


@pytest.fixture
def raw() -> dict[str, Any]:
    """Three stages: the second and the third merge the result of the first."""
    raw = raw_config(Path("models"), Path("tasks"), Path("results"))
    last = second_stage() | {"name": "last", "parents": ["dfs", "ps"]}
    raw["stages"] += [second_stage(), last]
    return raw


def plan_of(raw: dict[str, Any]) -> Plan:
    """Its plan."""
    return Plan(RunFiles(Path("results/tiny")), parse_config(raw, where="test"))


class Wildcards:
    """What Snakemake passes to an input function."""

    def __init__(self, **values: str) -> None:
        self.__dict__.update(values)


def test_each_stage_has_finalists(raw: dict[str, Any]) -> None:
    """Those of the last stage have the plain name; all are scored before the test."""
    plan = plan_of(raw)
    assert plan.finalists == {"finalists-ps": "ps", "finalists-dfs": "dfs", "finalists": "last"}
    assert plan.finals == ["baselines", "finalists-ps", "finalists-dfs", "finalists", "test"]
    assert plan.final_outcomes() == [
        f"results/tiny/{name}/gen-000/outcomes.json" for name in plan.finalists
    ]
    one = Wildcards(finalists="finalists-dfs")
    assert plan.searched_by(one) == [f"results/tiny/dfs/gen-00{n}/outcomes.json" for n in (0, 1)]
    assert plan.state_after(one) == "results/tiny/dfs/gen-002/state.npz"


def test_a_stage_waits_for_the_models_that_it_merges(raw: dict[str, Any]) -> None:
    """And those for the finalists of their stage."""
    plan = plan_of(raw)
    assert plan.models_before(Wildcards(stage="ps")) == []
    assert plan.models_before(Wildcards(stage="dfs")) == ["results/tiny/ps/best.lock.json"]
    assert plan.models_before(Wildcards(stage="last")) == [
        "results/tiny/dfs/best.lock.json",
        "results/tiny/ps/best.lock.json",
    ]
    waits = plan.finalists_before(Wildcards(stage="dfs"))
    assert waits == ["results/tiny/finalists-dfs/gen-000/outcomes.json"]


def test_a_change_of_a_stage_changes_the_keys_of_those_after_it(raw: dict[str, Any]) -> None:
    """However many stages lie between, and of no others."""
    before = plan_of(raw)
    for changed, expected in (("ps", {"ps", "dfs", "last"}), ("dfs", {"dfs", "last"})):
        other = copy.deepcopy(raw)
        stage = next(one for one in other["stages"] if one["name"] == changed)
        stage["budget"]["stagnation"] = 7
        after = plan_of(other)
        differ = {name for name in before.stages if before.stage_key(name) != after.stage_key(name)}
        assert differ == expected


def test_tracking_is_still_one_chain(raw: dict[str, Any]) -> None:
    """Each mark once, in the order in which phase are written."""
    marks = plan_of(raw).tracked()
    assert len(marks) == len(set(marks)) == 3 + 1 + 2 + 1 + 2 + 3
    phase = list(dict.fromkeys(Path(mark).parts[2] for mark in marks))
    assert phase == [
        "ps", "finalists-ps", "dfs", "finalists-dfs", "last", "baselines", "finalists", "test"
    ]  # fmt: skip


def test_each_stage_has_a_figure_of_its_own(raw: dict[str, Any]) -> None:
    """By the kind of its space."""
    assert plan_of(raw).config.figures() == {
        "ps": "weights-ps",
        "dfs": "path-dfs",
        "last": "path",
    }


def test_the_parents_behind_a_stage_are_found_through_all_stages(raw: dict[str, Any]) -> None:
    """Which is what can be checked before anything has run."""
    config = plan_of(raw).config
    assert [set(config.origins(stage)) for stage in config.stages] == [{"a", "b", "base"}] * 3
