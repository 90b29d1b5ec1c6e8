"""Text tasks on candidates that are vision-language models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.merge.vision_models import save_llava
from tests.parents.checkpoints import CONFIG, VOCABULARY, write_llama, write_tokenizer
from tests.runs_for_tests import raw_config, start_run
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.outcome import Scored
from tsugiki.contracts.population import Population
from tsugiki.contracts.recipe import read_recipe
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.evaluate.materialized import materialize
from tsugiki.finalists.baselines import baseline_population
from tsugiki.parents.preflight import preflight
from tsugiki.steps.start import write_first


@pytest.fixture
def raw(tiny_tasks: Path, tmp_path: Path) -> dict[str, Any]:
    """A run that merges a LLaVA with a text model."""
    models = tmp_path / "models"
    write_llama(models / "text", seed=1)
    save_llava(models / "eyes", seed=2, **{key: CONFIG[key] for key in CONFIG.keys() - {"dtype"}})
    write_tokenizer(models / "eyes", VOCABULARY)
    config = raw_config(models, tiny_tasks, tmp_path / "results")
    config["parents"] = {name: {"path": str(models / name)} for name in ("text", "eyes")}
    space = {"method": "linear", "dtype": "float32", "tokenizer": "eyes"}
    genes = {"weight": {"range": [0.1, 1.0], "grouping": "block"}}
    config["stages"][0] |= {
        "parents": ["text", "eyes"],
        "base": None,
        "space": {**space, "genes": genes},
    }
    config["baselines"] = []
    return config


def scores(files: RunFiles, generation: int = 0) -> list[dict[str, float]]:
    """Scores of a generation's candidates."""
    population = Population.model_validate_json(
        files.phase("ps").generation(generation).population.read_bytes()
    )
    found = []
    for candidate in population.candidates:
        path = files.phase("ps").candidate(candidate.recipe).outcome
        outcome = Scored.model_validate(json.loads(path.read_bytes()))
        found.append({name: one.value for name, one in outcome.measured.items()})
    return found


def test_candidates_are_scored_alive_as_from_disk(raw: dict[str, Any], tmp_path: Path) -> None:
    """Checked, started, merged block by block, and asked in text, by both ways."""
    found = []
    for storage in ("memory", "disk"):
        results = str(tmp_path / storage)
        changed = {**raw, "results": results}
        changed["evaluation"] = {**raw["evaluation"], "storage": storage}
        run = start_run(changed)
        assert preflight(run.config).faults == []
        write_first(run.files, run.config, run.config.stages[0])
        if storage == "disk":
            materialize(run.files, run.config, "ps", 0, 0)
        ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=lambda _: None)
        found.append(scores(run.files))
    assert found[0] == found[1]
    assert len(found[0]) == 4
    assert {"even", "choice"} <= found[0][0].keys()


def test_genes_are_those_of_the_language_model(raw: dict[str, Any]) -> None:
    """Embeddings, two blocks and a head for each parent; nothing for the tower."""
    run = start_run(raw)
    write_first(run.files, run.config, run.config.stages[0])
    space = json.loads(run.files.phase("ps").space.read_bytes())
    groups = {gene["group"] for gene in space["genes"]}
    assert groups == {"embeddings", "block.0", "block.1", "head"}


def test_declared_names_reach_the_recipes(raw: dict[str, Any]) -> None:
    """Those of candidates, and those of the parents that they are compared with."""
    names = {
        r"language_model\.(.+)": r"\1",
        r"(?!language_model\.).+": None,
    }
    raw["parents"]["eyes"]["names"] = names
    run = start_run(raw)
    assert preflight(run.config).faults == []
    write_first(run.files, run.config, run.config.stages[0])
    candidate = next(run.files.phase("ps").root.rglob("recipe.json"))
    recipe = read_recipe(candidate)
    assert {ref.name: ref.names for ref in recipe.parents} == {"eyes": names, "text": {}}
    ShardEvaluator(run.files, run.config, job=0).evaluate("ps", 0, log=lambda _: None)
    assert len(scores(run.files)) == 4
    _, compared = baseline_population(run.config, run.digests, {})
    assert [ref.names for recipe in compared for ref in recipe.parents] == [{}, names]
