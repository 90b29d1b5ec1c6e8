"""Searches that begin with recipes from elsewhere: baselines, earlier stages, other runs, files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs_for_tests import TinyRun, raw_config, start_run
from tsugiki import atomic
from tsugiki.audit.audit import audit
from tsugiki.canonical import pretty_json
from tsugiki.config.stage import Stage
from tsugiki.contracts.ledger import read_generation, read_population
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.contracts.recipe import AnyRecipe, read_recipe
from tsugiki.evolve.rank import rank
from tsugiki.space.parameter_space import ParameterGenome
from tsugiki.space.read import read_genome
from tsugiki.steps.audit import reselect
from tsugiki.steps.evolution import write_next
from tsugiki.steps.finals import write_finalists
from tsugiki.steps.start import write_baselines, write_first
from tsugiki.strategies.state import read_state

ZERO = "0" * 64
TUNED = {
    "name": "arithmetic-tuned",
    "method": "task_arithmetic",
    "parameters": {"weight": [0.3, 0.6, 0.9]},
    "per_parent": ["weight"],
}
TIES = {"name": "ties", "method": "ties", "parameters": {"weight": 0.4, "density": 0.5}}


def stage(name: str, grouping: str, **keys: Any) -> dict[str, Any]:
    """Task arithmetic with weights that are grouped so."""
    genes = {"weight": {"range": [0.0, 1.5], "grouping": grouping}}
    return {
        "name": name,
        "parents": ["a", "b"],
        "base": "base",
        "space": {"method": "task_arithmetic", "dtype": "float32", "genes": genes},
        "strategy": {"kind": "cma_es", "population": 5},
        "budget": {"generations": 1},
        **keys,
    }


@pytest.fixture
def begun(tiny_models: Path, tiny_tasks: Path, tmp_path: Path) -> Callable[..., TinyRun]:
    """A run of such stages, up to its first generation."""

    def make(*stages: dict[str, Any], **sections: Any) -> TinyRun:
        sections = {"baselines": [TUNED, TIES], "finalists": {"top": 2, "mean": False}, **sections}
        return start_run(
            raw_config(tiny_models, tiny_tasks, tmp_path, stages=list(stages), **sections)
        )

    return make


def weights(recipe: AnyRecipe) -> list[float]:
    """All of them, parent by parent."""
    values = recipe.parameters["weight"].values  # type: ignore[union-attr]
    return [value for of in values.values() for value in of.values()]


def score(run: TinyRun, phase: str, *, best: tuple[float, ...]) -> None:
    """Rank a phase's first generation: the nearer its weights are to `best` on average, the better."""
    files = run.files.phase(phase)
    population = read_population(files.generation(0).population)
    outcomes: dict[str, Scored | Failed] = {}
    for candidate in population.candidates:
        recipe = read_recipe(files.candidate(candidate.recipe).recipe)
        found = weights(recipe)
        aim = np.repeat(best, len(found) // len(best)) if len(found) > 1 else np.array(best[:1])
        far = 1.0 if recipe.method == "ties" else 0.0
        value = 2.0 - float(((np.array(found) - aim) ** 2).mean()) + far
        outcomes[candidate.recipe] = Scored(
            recipe=candidate.recipe,
            evaluation=ZERO,
            measured={
                one.name: Measured(value=value, items=8) for one in run.config.evaluation.objectives
            },
            rates={},
            weights=ZERO,
            records=ZERO,
        )
    objectives = run.config.evaluation.with_goals().objectives
    content = files.generation(0).population.read_bytes()
    entry = rank(population, content, outcomes, objectives)
    atomic.write_bytes(files.generation(0).outcomes, pretty_json(entry.model_dump(mode="json")))


def first_of(run: TinyRun, name: str) -> tuple[Stage, ParameterGenome]:
    """Start a stage; its space."""
    found = run.config.stage(name)
    assert found is not None
    write_first(run.files, run.config, found, lambda _: None)
    space = read_genome(run.files.phase(name).space)
    assert isinstance(space, ParameterGenome)
    return found, space


def findings(run: TinyRun) -> list[str]:
    """What the audit says of how a stage's generations were drawn."""
    found = audit(run.files, run.config, reselect=reselect(run.files, run.config))
    words = ("drawn again", "taken from", "begun with")
    return [one.what for one in found if any(word in one.what for word in words)]


def test_a_search_starts_at_the_best_point_of_a_baseline(begun: Callable[..., TinyRun]) -> None:
    """Its mean is that recipe in the stage's finer genes; another method's better one is passed over."""
    run = begun(stage("ps", "block", start="baseline"))
    write_baselines(run.files, run.config)
    score(run, "baselines", best=(0.3, 0.9))
    _, space = first_of(run, "ps")
    recipe = space.decode(space.start)
    assert {one: set(of.values()) for one, of in recipe.parameters["weight"].values.items()} == {
        "a": {0.3},
        "b": {0.9},
    }
    state = read_state(run.files.phase("ps").generation(0).state)
    assert state.arrays["centroid"].tolist() == list(space.start)
    assert findings(run) == []


def test_stages_refine_each_other_and_take_candidates_from_elsewhere(
    begun: Callable[..., TinyRun],
) -> None:
    """The first generation of the second has the named ones last; their origin says so."""
    fine = stage(
        "fine",
        "block_part",
        start={"stage": "coarse"},
        inject={"tuned": {"baseline": "arithmetic-tuned"}, "coarse": {"stage": "coarse"}},
    )
    run = begun(stage("coarse", "model"), fine)
    write_baselines(run.files, run.config)
    score(run, "baselines", best=(0.6, 0.6))
    coarse, _ = first_of(run, "coarse")
    score(run, "coarse", best=(0.2, 0.4))
    write_next(run.files, run.config, coarse, 0)
    write_finalists(run.files, run.config, coarse)
    score(run, "finalists-coarse", best=(0.2, 0.4))
    (won,) = (
        read_recipe(run.files.phase("finalists-coarse").candidate(one.recipe).recipe)
        for one in read_generation(
            run.files.phase("finalists-coarse").generation(0).outcomes
        ).ranked[:1]
    )
    second, space = first_of(run, "fine")
    start = weights(space.decode(space.start))
    assert sorted(set(start)) == sorted(weights(won))
    population = read_population(run.files.phase("fine").generation(0).population)
    assert [one.origin.get("injected") for one in population.candidates] == [
        None, None, None, "tuned", "coarse",
    ]  # fmt: skip
    recipes = [
        read_recipe(run.files.phase("fine").candidate(one.recipe).recipe)
        for one in population.candidates
    ]
    assert set(weights(recipes[3])) == {0.6}
    assert sorted(set(weights(recipes[4]))) == sorted(weights(won))
    score(run, "fine", best=(0.2, 0.4))
    write_next(run.files, run.config, second, 0)
    assert findings(run) == []
