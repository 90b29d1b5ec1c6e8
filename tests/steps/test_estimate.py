"""What a run will cost, told beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.runs_for_tests import raw_config, write_tasks
from tsugiki.config.items import Rungs, Subsets
from tsugiki.config.load import parse_config
from tsugiki.config.run import RunConfig
from tsugiki.models.kinds.text import TEXT
from tsugiki.parents.preflight import preflight
from tsugiki.parents.sizes import MergedTensors
from tsugiki.steps.estimate import (
    CORE,
    GPUS,
    Share,
    answer_limits,
    gpu_hours,
    note_device,
    render,
    shares,
)

H100 = GPUS[0]
BILLIONS = 7_000_000_000


@pytest.fixture
def config(tiny_config: dict[str, Any]) -> RunConfig:
    """Three generations of four, on two tasks."""
    return parse_config(tiny_config, where="test")


def test_every_part_of_a_run_is_counted(config: RunConfig) -> None:
    """Three generations of four; parents, base and baselines; finalists; the final table."""
    found = {share.name: share for share in shares(config, {})}
    assert found["ps"].candidates == 3 * 4
    assert found["ps"].answers == 3 * 4 * 8 * 2
    assert found["finalists"].candidates == 8 + 1
    assert found["baselines"].candidates > 3
    assert found["test"].documents == 6


def test_answers_that_a_rule_for_rungs_saves_for_certain_are_not_counted(
    config: RunConfig,
) -> None:
    """Four on two documents, two on two more, one on four more; with a race, perhaps all on eight."""

    def answers(rule: str) -> int:
        rungs = Rungs(documents=[2, 4, 8], rule=rule)
        evaluation = config.evaluation.model_copy(update={"rungs": rungs})
        run = config.model_copy(update={"evaluation": evaluation})
        return next(share.answers for share in shares(run, {}) if share.name == "ps")

    assert answers("halving") == 3 * 2 * (4 * 2 + 2 * 2 + 1 * 4)
    assert answers("racing") == answers("none") == 3 * 2 * 4 * 8


def test_candidates_that_come_again_are_counted(config: RunConfig) -> None:
    """Two leaders in each generation after the first, on its own documents."""
    subsets = Subsets(per_generation=3, leaders=2)
    evaluation = config.evaluation.model_copy(update={"subsets": subsets})
    run = config.model_copy(update={"evaluation": evaluation})
    share = next(share for share in shares(run, {}) if share.name == "ps")
    assert (share.candidates, share.answers) == (3 * 4 + 2 * 2, (3 * 4 + 2 * 2) * 3 * 2)


def test_candidates_that_are_written_count_on_disk(config: RunConfig) -> None:
    """A generation is written whole, whatever the jobs, and baselines and rivals are scored beside it."""
    tensors = {"ps": MergedTensors(TEXT, {"model.norm.weight": 1_000_000})}
    counts = {share.name: share.candidates for share in shares(config, tensors)}
    assert "to write" not in render(config, tensors)
    for rivals in ([], ["random", "climb"]):
        evaluation = config.evaluation.model_copy(update={"storage": "disk", "jobs": 3})
        run = config.model_copy(update={"evaluation": evaluation, "rivals": rivals})
        models = (1 + len(rivals)) * 4 + counts["baselines"]
        said = (
            f"{models} candidates at a time at most, besides the above on disk: {4 * models}.0 MB"
        )
        assert said in render(run, tensors)


def test_rivals_are_counted_as_the_last_stage_is(config: RunConfig) -> None:
    """Each with its candidates, its finalists, and a row in the final table."""
    alone = {share.name: share.candidates for share in shares(config, {})}
    with_rivals = config.model_copy(update={"rivals": ["random", "climb"]})
    found = {share.name: share.candidates for share in shares(with_rivals, {})}
    assert found["ps-random"] == found["ps-climb"] == found["ps"] == 3 * 4
    assert found["finalists"] == 3 * alone["finalists"]
    assert found["test"] == alone["test"] + 2


def test_the_population_of_cma_es_follows_from_the_genes(tiny_models: Path, tmp_path: Path) -> None:
    """4 + floor(3 ln n): weights for four groups and one density, for two parents, are ten genes."""
    tasks = write_tasks(tmp_path / "tasks")
    raw = raw_config(tiny_models, tasks, tmp_path / "results")
    raw["stages"][0]["strategy"] = {"kind": "cma_es"}
    config = parse_config(raw, where="test")
    tensors = preflight(config).tensors
    [stage] = [share for share in shares(config, tensors) if share.name == "ps"]
    assert stage.candidates == 3 * (4 + 6)
    assert "ps" not in {share.name for share in shares(config, {})}
    assert "; ps is not counted before its parents can be read" in render(config, {})
    assert "not counted" not in render(config, tensors)


def test_genes_of_whole_models_are_counted_before_any_is_read(tiny_config: dict[str, Any]) -> None:
    """A weight and a density for each of two parents: 4 + floor(3 ln 4) candidates."""
    [stage] = tiny_config["stages"]
    stage["strategy"] = {"kind": "cma_es"}
    stage["space"]["genes"]["weight"]["grouping"] = "model"
    config = parse_config(tiny_config, where="test")
    assert next(share for share in shares(config, {}) if share.name == "ps").candidates == 3 * 8
    assert "not counted" not in render(config, {})


def test_limits_of_answers_come_from_the_tasks(config: RunConfig) -> None:
    """Six tokens for one task, none for multiple choice."""
    assert answer_limits(config) == {"words": 6, "choice": 0}


def test_hours_are_the_formula(config: RunConfig) -> None:
    """Worked out by hand for float32 at the best: weights are read once a token for the batch of 4."""
    part = Share("x", candidates=10, documents=100, tasks=("words",))
    prompt = 2 * BILLIONS * 250 / (0.5 * 67e12)
    token = 4 * BILLIONS / (0.5 * 3.35e12) / 4
    expected = 10 * 100 * (prompt + 3 * token) / 3600
    assert gpu_hours(H100, config, [part], BILLIONS, best=True) == pytest.approx(expected)
    choice = Share("x", candidates=10, documents=100, tasks=("choice",))
    expected = 10 * 100 * 4 * prompt / 3600
    assert gpu_hours(H100, config, [choice], BILLIONS, best=True) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("device", "unit", "others"),
    [
        ("auto", "GPU-hours", "processor"),
        ("cuda", "GPU-hours", "processor"),
        ("cpu", "processor-hours", "GPU"),
    ],
)
def test_the_text_gives_a_range_of_hours_of_what_is_used(
    tiny_config: dict[str, Any], device: str, unit: str, others: str
) -> None:
    """And what was assumed; no GPU for a processor."""
    tiny_config["evaluation"]["device"] = device
    config = parse_config(tiny_config, where="test")
    text = render(config, {"ps": MergedTensors(TEXT, {"model.layers.0.mlp.w": BILLIONS})})
    for words in (f"{unit}, a rough estimate", "7 billion", "to evaluate, at most"):
        assert words in text
    assert others not in text
    for gpu in (*GPUS, CORE):
        low, high = (
            gpu_hours(gpu, config, shares(config, {}), BILLIONS, best=best)
            for best in (True, False)
        )
        assert 0 < low < high


def test_hours_are_for_a_billion_parameters_while_no_size_is_known(
    tiny_config: dict[str, Any],
) -> None:
    """They are in proportion to the size. Models that the demo trains are small: nothing of hours."""
    config = parse_config(tiny_config, where="test")

    def hours(text: str) -> str:
        return text.partition("estimate: ")[2].partition(" (")[0]

    one = render(config, {"ps": MergedTensors(TEXT, {"model.layers.0.mlp.w": 1_000_000_000})})
    text = render(config, {})
    assert hours(text) == hours(one)
    assert "hours for each billion parameters of a parent" in text
    parts = shares(config, {})
    seven, single = (gpu_hours(H100, config, parts, n, best=False) for n in (7 * 10**9, 10**9))
    assert seven == pytest.approx(7 * single)
    tiny_config["parents"] = {name: {"demo": "base"} for name in tiny_config["parents"]}
    assert "hours" not in render(parse_config(tiny_config, where="test"), {})


def test_a_missing_gpu_is_said_where_one_is_asked_for(
    tiny_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs may run elsewhere, so that it is no fault."""
    for device, works, count in (("cuda", False, 1), ("cuda", True, 0), ("auto", False, 0)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda works=works: works)
        tiny_config["evaluation"]["device"] = device
        notes = list(note_device(parse_config(tiny_config, where="test")))
        assert len(notes) == count
        assert all("finds no GPU on this machine" in note for note in notes)
