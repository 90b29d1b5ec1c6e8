"""The small run before the real one: its configuration, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tsugiki.config.baselines import DEFAULT_BASELINES, FrankenmergeBaseline
from tsugiki.config.load import parse_config
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.outcome import Cost
from tsugiki.errors import ConfigError
from tsugiki.progress.progress import duration
from tsugiki.steps import smoke
from tsugiki.steps.estimate import shares
from tsugiki.steps.smoke import CONFIG, run_small, small_config

NOW = datetime(2026, 1, 31, tzinfo=UTC)


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


def test_documents_come_from_where_they_do_in_the_real_run(tiny_config: dict[str, Any]) -> None:
    """The search's own split is no size."""
    tiny_config["evaluation"]["items"]["search_split"] = "training"
    small = small_config(parse_config(tiny_config, where="test"))
    assert small.evaluation.items.search_split == "training"


def test_two_points_of_each_baseline_are_enough(tiny_config: dict[str, Any]) -> None:
    """Those that come by default are 150 merges for two parents; a stack that is written out stays."""
    tiny_config["baselines"] = [
        {"name": "average", "method": "linear", "parameters": {"weight": 1.0}},
        {
            "name": "one",
            "method": "task_arithmetic",
            "parameters": {"weight": [0.2, 0.4]},
            "sample": 1,
        },
        {"name": "drawn", "kind": "stack", "random": 9},
        {"name": "written", "kind": "stack", "slices": [["a", 0, 2], ["b", 0, 2]]},
    ]
    config = parse_config(tiny_config, where="test")
    averaged, one, drawn, written = small_config(config).baselines
    assert isinstance(drawn, FrankenmergeBaseline)
    assert drawn.random == 2
    assert written == config.baselines[3]
    assert (averaged.name, one.model_dump()["sample"]) == ("average", 1)
    defaults = config.model_copy(update={"baselines": DEFAULT_BASELINES})
    scored = {share.name: share.candidates for share in shares(small_config(defaults), {})}
    # base and both parents; the average; two defaults; three tuned ones at two points each
    assert scored["baselines"] == 3 + 3 + 3 * 2


def test_a_model_is_priced_by_its_merge_and_an_answer_by_all_that_comes_after(
    tiny_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A judge's time grows with the answers, as that of forward passes does; the test asks monitors, too."""
    evaluation = tiny_config["evaluation"]
    evaluation["monitors"] = [evaluation["objectives"].pop()]
    config = parse_config(tiny_config, where="test")
    seconds = {"ps": (2.0, 2), "baselines": (2.0, 2), "finalists": (2.0, 2), "test": (2.0, 4)}

    def costs(_files: Any, phase: str) -> list[Cost]:
        merge, asked = seconds[phase]
        times = {"seconds_merge": merge, "seconds_forward": 0.0, "seconds_total": merge + asked / 2}
        return [
            Cost(**times, tokens=1, host="h", started=NOW, finished=NOW, device="cpu", generation=0)
        ]

    monkeypatch.setattr(smoke, "_costs", costs)
    monkeypatch.setattr(smoke, "read_lock", lambda _path: None)
    told = smoke.estimate_by(RunFiles(tmp_path), config)
    assert "4 models scored, 2 s for a model and 0.5 s for an answer" in told
    parts = shares(config, {})
    total = sum(2.0 * one.candidates + 0.5 * one.answers for one in parts)
    assert f"{duration(total)} of scoring" in told


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
