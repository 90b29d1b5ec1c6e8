"""The tests' small runs, scored on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.runs_for_tests import TinyRun
from tsugiki.config.run import RunConfig
from tsugiki.contracts.outcome import OUTCOME, Failed, Scored
from tsugiki.contracts.recipe import AnyRecipe, Recipe
from tsugiki.evaluate.batch import ShardEvaluator


def on(device: str, run: TinyRun, **changes: Any) -> RunConfig:
    """The run's configuration for a device; `changes` replace keys of `evaluation`."""
    evaluation = run.config.evaluation.model_copy(update={"device": device, **changes})
    return run.config.model_copy(update={"evaluation": evaluation})


def evaluate(run: TinyRun, config: RunConfig, recipes: Sequence[Recipe]) -> list[Scored | Failed]:
    """Outcomes of hand-made candidates, all scored anew in one process."""
    run.write_population(recipes)
    for recipe in recipes:
        run.candidate(recipe).outcome.unlink(missing_ok=True)
    ShardEvaluator(run.files, config, job=0).evaluate("ps", 0, log=lambda _line: None)
    return [outcome(run, recipe) for recipe in recipes]


def outcome(run: TinyRun, recipe: AnyRecipe) -> Scored | Failed:
    """The recorded outcome."""
    files = run.files.phase("ps").candidate(recipe.digest)
    return OUTCOME.validate_json(files.outcome.read_bytes())


def content(run: TinyRun, recipe: AnyRecipe) -> tuple[bytes, bytes]:
    """What is recorded of a candidate, byte for byte."""
    files = run.files.phase("ps").candidate(recipe.digest)
    return files.outcome.read_bytes(), files.items.read_bytes()
