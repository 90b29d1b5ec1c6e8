"""What is wrong with stages that build on each other is told before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.runs_for_tests import second_stage
from tsugiki.config.load import parse_config
from tsugiki.config.validate import validate_config
from tsugiki.errors import ConfigError

Raw = dict[str, Any]


@pytest.fixture
def raw(tiny_config: Raw) -> Raw:
    """Parameter space, then data-flow space over its result."""
    return tiny_config | {"stages": [*tiny_config["stages"], second_stage()]}


def test_a_stage_may_merge_the_result_of_an_earlier_one(raw: Raw) -> None:
    """In either space, and as a base too."""
    third = {**raw["stages"][0], "name": "more", "parents": ["a", "b"], "base": "ps"}
    raw["stages"].append(third)
    validate_config(parse_config(raw, where="x"), where="x")


def fault(raw: Raw) -> str:
    """What the configuration is refused for."""
    with pytest.raises(ConfigError) as caught:
        validate_config(parse_config(raw, where="x"), where="x")
    return str(caught.value)


def second(raw: Raw) -> Raw:
    """The second stage."""
    found: Raw = raw["stages"][1]
    return found


FAULTS: list[tuple[str, Callable[[Raw], object], str]] = [
    ("unknown", lambda raw: second(raw).update(parents=["pss", "a"]), "'pss'; nearest.*`ps`"),
    ("own", lambda raw: second(raw).update(parents=["dfs", "a"]), "cannot merge its own result"),
    (
        "later",
        lambda raw: raw["stages"][0].update(parents=["a", "dfs"]),
        "'dfs' comes later; a stage merges results of earlier ones",
    ),
    ("a parent's name", lambda raw: second(raw).update(name="a"), "'a' is the name of a parent"),
    ("a reserved name", lambda raw: second(raw).update(name="finalists-ps"), "is taken"),
    ("the same name", lambda raw: second(raw).update(name="ps"), "'ps' is taken"),
    ("twice", lambda raw: second(raw).update(parents=["ps", "ps"]), "a parent is listed twice"),
    (
        "a front of one objective",
        lambda raw: (
            raw["evaluation"]["objectives"].pop(),
            second(raw)["strategy"].update(kind="nsga2"),
        ),
        "`stages\\[1\\].strategy`: nsga2 is for several objectives",
    ),
    (
        "a path merged by tensors",
        lambda raw: raw["stages"].append(
            {**raw["stages"][0], "name": "more", "parents": ["a", "dfs"]}
        ),
        "'dfs' is in data-flow space.*cannot be merged in parameter space",
    ),
    (
        "a baseline's name",
        lambda raw: raw.update(
            baselines=[{"name": "ps", "method": "linear", "parameters": {"weight": 1.0}}]
        ),
        "'ps' is taken by a parent, a stage or another baseline",
    ),
]


@pytest.mark.parametrize(
    ("change", "message"), [one[1:] for one in FAULTS], ids=[one[0] for one in FAULTS]
)
def test_stages_that_cannot_build_on_each_other_are_refused(
    raw: Raw, change: Callable[[Raw], object], message: str
) -> None:
    """With what was probably meant."""
    change(raw)
    assert re.search(message, fault(raw))


SPACES: list[tuple[Raw, str]] = [
    ({"kind": "dataflw"}, "there is no 'dataflw'; nearest valid names: `dataflow`"),
    ({"kind": "dataflow", "scale_range": [0.2, 0.9]}, "does not hold 1"),
    ({"kind": "dataflow", "scale_range": [1.5, 0.5]}, "is empty"),
    ({"kind": "dataflow", "repeat": 2}, "`repeats`"),
    ({"kind": "dataflow", "scales": "per-hop"}, "scales"),
    ({"kind": "dataflow", "start_probability": 0.5}, "start_probability"),
]


@pytest.mark.parametrize(("space", "message"), SPACES, ids=[str(one[0]) for one in SPACES])
def test_a_faulty_data_flow_space_names_its_key(raw: Raw, space: Raw, message: str) -> None:
    """As in any other section."""
    second(raw)["space"] = space
    assert message in fault(raw)


def test_a_space_without_a_kind_is_a_parameter_space(raw: Raw) -> None:
    """As before there was another."""
    assert "kind" not in raw["stages"][0]["space"]
    config = parse_config(raw, where="x")
    assert [stage.space.kind for stage in config.stages] == ["parameter", "dataflow"]
    assert [stage.owner for stage in config.stages] == ["base", "ps"]


def started(raw: Raw, start: Any) -> None:
    """Let the second stage start there."""
    second(raw).update(
        space=raw["stages"][0]["space"], base="base", parents=["a", "b"], start=start
    )


def weight(raw: Raw) -> Raw:
    """A gene of the first stage."""
    found: Raw = raw["stages"][0]["space"]["genes"]["weight"]
    return found


ORIGINS: list[tuple[Callable[[Raw], object], str]] = [
    (
        lambda raw: started(raw, {"stage": "pss"}),
        r"stages\[1\].start.stage.*no earlier stage 'pss'.*`ps`",
    ),
    (lambda raw: started(raw, {"stage": "dfs"}), "no earlier stage 'dfs'"),
    (lambda raw: started(raw, {"baseline": "avrage"}), "unknown baseline 'avrage'.*`average`"),
    (lambda raw: started(raw, {"recipe": "none.json"}), "there is no file 'none.json'"),
    (lambda raw: started(raw, {"run": "nowhere"}), "'nowhere' is no folder of a run"),
    (lambda raw: started(raw, {}), "exactly one of .* got none"),
    (lambda raw: started(raw, {"stage": "ps", "run": "x"}), "exactly one of .* got run, stage"),
    (lambda raw: started(raw, {"stage": "ps", "candidate": "000-00"}), "goes with `run`"),
    (lambda raw: started(raw, "basline"), r"stages\[1\].start.*'baseline'"),
    (
        lambda raw: second(raw).update(inject={"one": {"baseline": "x"}}),
        r"stages\[1\].inject.one.baseline.*unknown baseline 'x'",
    ),
    (
        lambda raw: weight(raw).update(start={"aa": 0.5}),
        r"stages\[0\].space.genes.weight.start.*'aa' is no parent.*`a`",
    ),
    (lambda raw: weight(raw).update(start={"a": {"block.0": 9.0}}), "start 9.0 lies outside"),
    (lambda raw: weight(raw).update(start={"a": 9.0}), "start 9.0 lies outside"),
]


@pytest.mark.parametrize(("change", "message"), ORIGINS, ids=[one[1] for one in ORIGINS])
def test_a_search_cannot_start_where_nothing_is(
    raw: Raw, change: Callable[[Raw], object], message: str
) -> None:
    """With the key, and what was probably meant."""
    change(raw)
    assert re.search(message, fault(raw))
