"""Image generators are scored by functions, in memory and by way of the disk, and checked before."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.evaluate.shapes import SCORES, TRAINED, ask, draw, raw_config, train_trio
from tests.pipelines import WEIGHTS, needs_diffusers
from tests.runs_for_tests import TinyRun, start_run
from tsugiki.config.load import parse_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.ledger import read_population
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.image_generator import open_generator
from tsugiki.evaluate.language_model import BrokenModelError
from tsugiki.evaluate.preflight import check_tasks
from tsugiki.parents import between
from tsugiki.parents.preflight import preflight
from tsugiki.steps.evolution import read_outcomes

pytestmark = needs_diffusers
OWN_CHECK = """


def shape(model, documents):
    pictures = draw(model.model, documents)
    if not torch.isfinite(pictures).all():
        raise ValueError("no picture")
    return [0.0 for _ in documents]
"""
QUIET: Any = lambda _line: None  # noqa: E731


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base and two models that have hardly begun to learn from there. Read only."""
    return train_trio(tmp_path_factory.mktemp("generators"), dict.fromkeys(TRAINED, 1))


@pytest.fixture
def run(trio: dict[str, Path], tmp_path: Path) -> TinyRun:
    """A run before its first generation."""
    return start_run(raw_config(trio, tmp_path / "pictures"))


def outcome_of(run: TinyRun, weight: float = 1.0) -> Scored | Failed:
    """What comes of one candidate."""
    recipe = run.recipe(weight=weight, parents=("shapes", "colours"))
    run.write_population([recipe])
    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=QUIET)
    phase = run.files.phase("ps")
    return read_outcomes(phase, read_population(phase.generation(0).population))[recipe.digest]


def test_a_candidate_is_the_same_by_way_of_the_disk(
    run: TinyRun, trio: dict[str, Path], tmp_path: Path
) -> None:
    """Its weights and scores, as merged in memory."""
    by_disk = outcome_of(start_run(raw_config(trio, tmp_path / "disk", storage="scratch")))
    in_memory = outcome_of(run)
    assert isinstance(by_disk, Scored)
    assert isinstance(in_memory, Scored)
    assert by_disk.weights == in_memory.weights
    assert by_disk.measured == in_memory.measured


def test_outputs_that_are_no_numbers_are_a_failure(trio: dict[str, Path]) -> None:
    """Of the candidate, whatever a function makes of them: it cannot win by drawing nothing."""
    generator = open_generator(trio["base"], {"unet"}, torch.float32, torch.device("cpu"))
    draw(generator.model, [ask(0)])
    assert generator.clock.stop() > 0
    generator.weights["unet"].conv_in.weight.fill_(torch.nan)
    draw(generator.model, [ask(0)])
    with pytest.raises(BrokenModelError, match="the model's outputs are not finite"):
        generator.clock.stop()


def huge(trio: dict[str, Path], folder: Path) -> TinyRun:
    """A run with a parent whose first weights are far too large, though they are numbers."""
    shutil.copytree(trio["shapes"], folder / "huge")
    file = folder / "huge" / "unet" / WEIGHTS
    weights = load_file(file)
    weights["conv_in.weight"].fill_(1e20)
    save_file(weights, file, metadata={"format": "pt"})
    return start_run(raw_config(trio | {"huge": folder / "huge"}, folder / "run"))


@pytest.mark.parametrize("scores", ["", OWN_CHECK], ids=["that take anything", "that raise"])
def test_weights_that_are_too_large_are_the_models_failure(
    scores: str, trio: dict[str, Path], tmp_path: Path
) -> None:
    """As of language models, also where the function chokes on what such a model draws."""
    run = huge(trio, tmp_path)
    (tmp_path / "run" / "scores.py").write_text(SCORES + scores)
    recipe = run.recipe("linear", base=None, parents=("huge",), weight=1.0, owner="huge")
    run.write_population([recipe])
    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=QUIET)
    phase = run.files.phase("ps")
    found = read_outcomes(phase, read_population(phase.generation(0).population))[recipe.digest]
    assert isinstance(found, Failed)
    assert found.kind == "model"
    assert found.reason == "the model's outputs are not finite"


def test_a_pipeline_is_loaded_without_a_warning(trio: dict[str, Path]) -> None:
    """In the number format that is asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = open_generator(trio["base"], {"unet"}, torch.float16, torch.device("cpu"))
    assert found.model.unet.dtype == torch.float16


def checked(config: RunConfig) -> list[str]:
    """Faults that are told before a run."""
    return [*map(str, preflight(config).faults), *map(str, check_tasks(config).faults)]


def test_a_sound_configuration_is_found_so(run: TinyRun) -> None:
    """Functions that draw cannot be tried without a model, which is no fault."""
    assert checked(run.config) == []


def test_tasks_of_text_are_refused_for_image_generators(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    """Before anything is drawn."""
    (tmp_path / "texts.jsonl").write_text('{"text": "w1"}\n' * 40)
    corpus = {"name": "loss", "corpus": str(tmp_path / "texts.jsonl")}
    config = parse_config(raw_config(trio, tmp_path / "run", monitors=[corpus]), where="test")
    (fault,) = preflight(config).faults
    assert "`base` makes pictures, and answers no prompts of tasks" in str(fault)
    assert "loss" in str(fault)


def test_diffusers_that_is_not_there_is_told(run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way to install it."""
    monkeypatch.setattr(between, "find_spec", lambda _name: None)
    (fault,) = preflight(run.config).faults
    assert "make images" in str(fault)
