"""The rivals of a run: which searches they are, and what runs that were recorded without them mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tsugiki.config.load import dump_config, parse_config, read_config
from tsugiki.config.run import RunConfig
from tsugiki.config.stage import ParameterSpace
from tsugiki.config.validate import validate_config
from tsugiki.errors import ConfigError


def with_rivals(raw: dict[str, Any], **stage: Any) -> RunConfig:
    """The configuration with both rivals; `stage` replaces keys of its last stage."""
    raw["rivals"] = ["random", "climb"]
    raw["stages"][-1] |= stage
    return parse_config(raw, where="test")


def test_both_are_there_by_default(tiny_config: dict[str, Any]) -> None:
    """A configuration has to say so if it wants none."""
    del tiny_config["rivals"]
    config = parse_config(tiny_config, where="test")
    assert list(config.rival_stages) == ["random", "climb"]
    assert [stage.name for stage in config.searches] == ["ps", "ps-random", "ps-climb"]


def test_they_have_budget_parents_and_size_of_the_last_stage(tiny_config: dict[str, Any]) -> None:
    """And phases of their own, whose finalists are theirs; the last stage's stay the plain ones."""
    config = with_rivals(tiny_config)
    (last,) = config.stages
    for rival in config.rival_stages.values():
        assert (rival.parents, rival.base, rival.budget) == (last.parents, last.base, last.budget)
        assert rival.strategy.population == last.strategy.population == 4
    assert config.phases == [
        "ps", "ps-random", "finalists-ps-random", "ps-climb", "finalists-ps-climb",
        "baselines", "finalists", "test",
    ]  # fmt: skip
    assert config.figures() == {"ps": "weights"}


def test_where_generations_have_few_documents_rivals_have_few_candidates_on_all(
    tiny_config: dict[str, Any],
) -> None:
    """Sixteen and two leaders on 3 documents are 54 answers: on 8 documents each, seven candidates."""
    tiny_config["evaluation"] |= {"items": {"search": 8, "validation": 4, "test": 6}}
    tiny_config["evaluation"] |= {"subsets": {"per_generation": 3, "leaders": 2}}
    config = with_rivals(
        tiny_config,
        strategy={"kind": "cma_es", "population": 16},
        budget={"generations": 9, "stagnation": 3},
        surrogate={},
    )
    for name, rival in zip(("ps-random", "ps-climb"), config.rival_stages.values(), strict=True):
        assert rival.strategy.population == 7
        assert (rival.budget.generations, rival.budget.stagnation) == (9, None)
        assert rival.surrogate is None
        assert config.search_documents(name) == 8
        assert config.own_documents(name, 4) is None
    assert (config.search_documents("ps"), config.own_documents("ps", 4)) == (3, 4)


def test_random_search_is_in_the_same_space_and_starts_nowhere(tiny_config: dict[str, Any]) -> None:
    """Whatever the stage starts from."""
    config = with_rivals(tiny_config, start="baseline")
    random = config.rival_stages["random"]
    assert random.space == config.stages[0].space
    assert random.strategy.kind == "random"
    assert random.start is None


def test_the_climb_is_over_task_arithmetic_per_block(tiny_config: dict[str, Any]) -> None:
    """From the tuned baseline of that method, over a range that holds its grid."""
    config = with_rivals(tiny_config)
    climb = config.rival_stages["climb"]
    assert isinstance(climb.space, ParameterSpace)
    assert climb.space.method == "task_arithmetic"
    assert climb.space.dtype == config.stages[0].space.dtype
    assert list(climb.space.genes) == ["weight"]
    assert climb.space.genes["weight"].grouping == "block"
    assert climb.space.genes["weight"].range == (0.0, 1.5)
    assert str(climb.start) == "baseline task-arithmetic-tuned"
    wide = {"name": "wide", "method": "task_arithmetic", "parameters": {"weight": [0.5, 2.0]}}
    climb = with_rivals(tiny_config | {"baselines": [wide]}).rival_stages["climb"]
    assert isinstance(climb.space, ParameterSpace)
    assert climb.space.genes["weight"].range == (0.0, 2.0)


def test_the_climb_starts_in_the_middle_where_nothing_is_tuned(tiny_config: dict[str, Any]) -> None:
    """No baseline of that method, or one of other models."""
    assert with_rivals(tiny_config | {"baselines": []}).rival_stages["climb"].start is None
    other = dict(tiny_config["stages"][0], name="second", parents=["a"])
    raw = tiny_config | {"stages": [*tiny_config["stages"], other]}
    climb = with_rivals(raw).rival_stages["climb"]
    assert (climb.name, climb.start) == ("second-climb", None)


def test_paths_are_climbed_by_their_indicators(tiny_config: dict[str, Any]) -> None:
    """In the space of the stage, and from where it starts."""
    space = {"kind": "dataflow", "repeats": 2}
    config = with_rivals(tiny_config, space=space, strategy={"kind": "bit_cma"})
    assert config.rival_stages["climb"].space == config.stages[0].space


def test_a_search_is_no_rival_of_itself(tiny_config: dict[str, Any]) -> None:
    """Random search has the climb alone beside it."""
    config = with_rivals(tiny_config, strategy={"kind": "random"})
    assert list(config.rival_stages) == ["climb"]


def test_a_lock_without_rivals_means_none(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    """Runs of earlier versions had none; the same text as a configuration has both."""
    content = yaml.safe_load(dump_config(parse_config(tiny_config, where="test")))
    del content["rivals"]
    for name in ("config.lock.yaml", "mine.yaml"):
        (tmp_path / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    assert read_config(tmp_path / "config.lock.yaml").rivals == []
    assert read_config(tmp_path / "mine.yaml").rivals == ["random", "climb"]


def test_a_stage_cannot_have_the_folder_of_a_rival(tiny_config: dict[str, Any]) -> None:
    """Which is named after the last stage."""
    first = dict(tiny_config["stages"][0], name="ps-random")
    config = with_rivals(tiny_config | {"stages": [first, *tiny_config["stages"]]})
    with pytest.raises(ConfigError, match="is the folder of the rival `random`"):
        validate_config(config, where="test")
