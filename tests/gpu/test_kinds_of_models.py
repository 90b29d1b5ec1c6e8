"""Models in data-flow space, and models with eyes, on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.test_vision_language import raw as vision_raw  # noqa: F401 - a fixture
from tests.gpu.runs_on_gpu import outcome
from tests.runs_for_tests import raw_config, start_run
from tsugiki.contracts.outcome import Failed, Scored
from tsugiki.contracts.population import Population
from tsugiki.contracts.recipe import read_recipe
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.steps.start import write_first


@pytest.fixture
def dataflow_raw(tiny_models: Path, tiny_tasks: Path, tmp_path: Path) -> dict[str, Any]:
    """A run in data-flow space."""
    config = raw_config(tiny_models, tiny_tasks, tmp_path / "results")
    config["stages"][0] = {
        "name": "ps",
        "parents": ["a", "b"],
        "space": {"kind": "dataflow", "repeats": 2, "dtype": "float32"},
        "strategy": {"kind": "bit_cma", "population": 4},
        "budget": {"generations": 1},
    }
    return config


def outcomes(raw: dict[str, Any], results: Path, device: str) -> list[Scored | Failed]:
    """Outcomes of the first generation."""
    evaluation = {**raw["evaluation"], "device": device}
    run = start_run({**raw, "results": str(results / device), "evaluation": evaluation})
    write_first(run.files, run.config, run.config.stages[0])
    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=lambda _line: None)
    phase = run.files.phase("ps")
    population = Population.model_validate_json(phase.generation(0).population.read_bytes())
    recipes = [read_recipe(phase.candidate(one.recipe).recipe) for one in population.candidates]
    return [outcome(run, recipe) for recipe in recipes]


@pytest.mark.parametrize("kind", ["dataflow_raw", "vision_raw"])
def test_candidates_have_the_processors_weights(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """And are scored."""
    raw = request.getfixturevalue(kind)
    found, expected = (outcomes(raw, tmp_path, device) for device in ("cuda", "cpu"))
    assert len(found) == len(expected) == 4
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, Scored)
        assert isinstance(other, Scored)
        assert one.weights == other.weights
