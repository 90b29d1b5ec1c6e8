"""A run whose search starts at its best baseline, and goes on from there in finer genes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from tests.workflow.small_run import UNTRACKED, settings
from tests.workflow.workspace import finished_workspace
from tsugiki.canonical import digest_file
from tsugiki.contracts.ledger import read_generation, read_population
from tsugiki.contracts.recipe import Recipe, read_recipe
from tsugiki.finalists.files import read_winner
from tsugiki.space.read import read_genome


def stage(name: str, grouping: str, **keys: Any) -> dict[str, Any]:
    """Task arithmetic with weights that are grouped so; one generation."""
    genes = {"weight": {"range": [0.0, 1.5], "grouping": grouping}}
    return {
        "name": name,
        "parents": ["left", "right"],
        "base": "base",
        "space": {"method": "task_arithmetic", "dtype": "float32", "genes": genes},
        "strategy": {"kind": "cma_es", "population": 4, "sigma": 0.1},
        "budget": {"generations": 1},
        **keys,
    }


def refined() -> dict[str, Any]:
    """From the tuned baseline to genes of whole models, and from the best of these to parts of blocks."""
    config = settings() | UNTRACKED
    inject = {"tuned": {"baseline": "arithmetic-tuned"}}
    fine = stage("fine", "block_part", start={"stage": "coarse"}, inject=inject)
    config["stages"] = [stage("coarse", "model", start="baseline"), fine]
    return config


def test_a_search_starts_at_the_best_baseline_and_is_refined(tmp_path: Path) -> None:
    """Each stage waits for what it starts from; the run is sound, goes on, and has nothing left to do."""
    config = refined()
    work = finished_workspace(tmp_path / "run", config)
    baselines = read_generation(work.files.phase("baselines").generation(0).outcomes)
    arithmetic = {
        one.recipe: one.fitness
        for one in baselines.ranked
        if read_recipe(work.files.phase("baselines").candidate(one.recipe).recipe).method
        == "task_arithmetic"
    }
    coarse, fine = (read_genome(work.files.phase(name).space) for name in ("coarse", "fine"))
    begun = coarse.decode(coarse.start)
    assert isinstance(begun, Recipe)
    tuned = max(arithmetic, key=lambda one: arithmetic[one] or 0.0)
    values = read_recipe(work.files.phase("baselines").candidate(tuned).recipe)
    assert isinstance(values, Recipe)
    assert begun.parameters["weight"].values == values.parameters["weight"].values
    won = read_winner(work.files.phase("finalists-coarse"))
    assert [one.recipe for one in fine.known] == [won.recipe, tuned]
    first = work.files.phase("fine").generation(0)
    assert read_population(first.population).candidates[-1].origin == {"injected": "tuned"}
    audited = work.tsugiki("audit", "tiny.yaml")
    assert audited.returncode == 0, audited.stderr

    before = {path: digest_file(path) for path in (first.population, first.state, first.outcomes)}
    longer = copy.deepcopy(config)
    longer["stages"][1]["budget"]["generations"] = 2
    work.configure(longer)
    output = work.run()
    assert "rule start" not in output
    assert {path: digest_file(path) for path in before} == before
    assert work.tsugiki("audit", "tiny.yaml").returncode == 0
    assert "Nothing to be done" in work.run()
