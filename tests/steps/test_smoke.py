"""The small run before the real one: its configuration, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tsugiki.config.load import parse_config
from tsugiki.errors import ConfigError
from tsugiki.steps.smoke import CONFIG, run_small, small_config


def test_a_run_in_small_keeps_all_but_the_sizes(tiny_config: dict[str, Any]) -> None:
    """Two documents a set, one generation, one finalist, no rungs and no rivals."""
    tiny_config["evaluation"] |= {
        "objectives": [{"name": "even", "task": "words", "metric": "even,none"}],
        "repeats": {"words": 2},
        "rungs": {"documents": [2, 8], "rule": "halving"},
    }
    config = parse_config(tiny_config | {"rivals": ["random"]}, where="test")
    small = small_config(config)
    assert small.name == "tiny-smoke"
    assert set(small.evaluation.items.model_dump().values()) == {2}
    assert [stage.budget.generations for stage in small.stages] == [1]
    assert (small.rivals, small.evaluation.rungs, small.finalists.top) == ([], None, 1)
    assert small.evaluation.repeats == config.evaluation.repeats
    assert small.parents == config.parents
    assert small.stages[0].space == config.stages[0].space


def test_a_folder_of_anything_else_is_left_alone(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    """Only what a smoke run has made is replaced."""
    config = parse_config(tiny_config, where="test")
    mine = tmp_path / "results/tiny-smoke/mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ConfigError, match="no smoke run has made"):
        run_small(config, ())
    assert mine.read_text() == "mine"
    assert not (mine.parent / CONFIG).exists()
