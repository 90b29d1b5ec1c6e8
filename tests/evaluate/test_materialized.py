"""Candidates as temporary checkpoints on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.conftest import MakeRun
from tests.runs_for_tests import TinyRun
from tsugiki.contracts.recipe import Parameter, Recipe
from tsugiki.errors import InfrastructureError, RecipeError
from tsugiki.evaluate.materialized import materialize, read_weights_digest


def folder_of(run: TinyRun, recipe: Recipe) -> Path:
    """Where a candidate's checkpoint goes."""
    return run.files.series("ps").generation(0).weights(0) / run.candidate(recipe).root.name


def stamp(folder: Path) -> tuple[int, int]:
    """When the weights were written, and which file they are: a clock may not have ticked."""
    found = (folder / "model.safetensors").stat()
    return found.st_mtime_ns, found.st_ino


def test_each_candidate_is_a_checkpoint_with_its_digest(make_run: MakeRun) -> None:
    """Each its own weights."""
    run = make_run()
    recipes = [run.recipe(weight=weight) for weight in (0.2, 0.8)]
    run.write_population(recipes)
    materialize(run.files, run.config, "ps", 0, 0)
    folders = [folder_of(run, recipe) for recipe in recipes]
    assert len({read_weights_digest(folder) for folder in folders}) == 2
    assert all("lm_head.weight" in load_file(folder / "model.safetensors") for folder in folders)


def test_a_killed_job_goes_on_with_the_model_it_was_writing(make_run: MakeRun) -> None:
    """What was finished is kept; a model without its digest is written anew."""
    run = make_run()
    recipes = [run.recipe(weight=weight) for weight in (0.2, 0.8)]
    run.write_population(recipes)
    materialize(run.files, run.config, "ps", 0, 0)
    kept, lost = (folder_of(run, recipe) for recipe in recipes)
    before = stamp(kept), stamp(lost)
    weights = read_weights_digest(lost)
    lost.with_name(f"{lost.name}.digest").unlink()
    materialize(run.files, run.config, "ps", 0, 0)
    assert stamp(kept) == before[0]
    assert stamp(lost) != before[1]
    assert read_weights_digest(lost) == weights


def test_a_recipe_without_a_valid_merge_leaves_its_reason(make_run: MakeRun) -> None:
    """The others are written; the evaluating job reads the reason."""
    run = make_run()
    weights = Parameter(values={"a": {"model": 0.5}, "b": {"model": -0.5}})
    plain = run.recipe("linear", base=None, owner="a")
    cancelling = plain.model_copy(update={"parameters": {"weight": weights}})
    sound = run.recipe(weight=0.2)
    run.write_population([cancelling, sound])
    materialize(run.files, run.config, "ps", 0, 0)
    assert not folder_of(run, cancelling).exists()
    with pytest.raises(RecipeError, match="weights"):
        read_weights_digest(folder_of(run, cancelling))
    assert read_weights_digest(folder_of(run, sound))


def test_a_candidate_that_is_not_there_is_a_fault_of_the_machine(make_run: MakeRun) -> None:
    """A node's scratch folder may be gone."""
    run = make_run()
    with pytest.raises(InfrastructureError, match="not materialized"):
        read_weights_digest(folder_of(run, run.recipe(weight=0.2)))
