"""Stacks of layers as baselines: written out, and drawn at random."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import MakeRun
from tests.steps.test_steps import quiet
from tsugiki.config.baselines import FrankenmergeBaseline
from tsugiki.config.load import parse_config
from tsugiki.config.stage import Stage
from tsugiki.config.validate import validate_config
from tsugiki.contracts.ledger import read_generation
from tsugiki.contracts.population import Population
from tsugiki.contracts.recipe import DataflowRecipe, read_recipe
from tsugiki.errors import ConfigError
from tsugiki.evaluate.batch import ShardEvaluator
from tsugiki.finalists.baselines import frankenmerge_recipes, tuned
from tsugiki.steps.evolution import write_ranked
from tsugiki.steps.start import write_baselines

DIGESTS = {"a": "a" * 64, "b": "b" * 64}
LAYERS = {"a": 8, "b": 8}
WRITTEN = {"kind": "stack", "name": "written", "slices": [["a", 0, 2], ["b", 1, 2]]}


@pytest.fixture
def stage(tiny_config: dict[str, Any]) -> Stage:
    """A stage that merges `a` and `b`."""
    return parse_config(tiny_config, where="test").stages[0]


def drawn(stage: Stage, seed: int = 1, **fields: Any) -> list[DataflowRecipe]:
    """Random stacks."""
    baseline = FrankenmergeBaseline(kind="stack", **({"name": "drawn", "random": 20} | fields))
    return frankenmerge_recipes(baseline, stage, digests=DIGESTS, layers=LAYERS, seed=seed)


def test_random_stacks_begin_and_end_as_the_first_parent(stage: Stage) -> None:
    """They are distinct, no shorter than it, and no longer than allowed."""
    recipes = drawn(stage, pieces=4, longest=2.0)
    assert len({recipe.digest for recipe in recipes}) == 20
    for recipe in recipes:
        first, last = recipe.path[0], recipe.path[-1]
        assert (recipe.owner, recipe.head) == ("a", None)
        assert (first.parent, first.layer) == ("a", 0)
        assert (last.parent, last.layer) == ("a", 7)
        assert 8 <= len(recipe.path) <= 16
        assert all(hop.scale == 1.0 and not hop.factors for hop in recipe.path)
    assert {hop.parent for recipe in recipes for hop in recipe.path} == {"a", "b"}


def test_random_stacks_depend_on_seed_and_name_only(stage: Stage) -> None:
    """The same again, others for another seed or name, and more of the same where more are wanted."""
    assert drawn(stage) == drawn(stage)
    assert drawn(stage)[0] != drawn(stage, seed=2)[0]
    assert drawn(stage)[0] != drawn(stage, name="other")[0]
    assert drawn(stage, random=30)[:20] == drawn(stage)


def test_no_more_stacks_are_drawn_than_exist(stage: Stage) -> None:
    """Two layers of two pieces of one parent: that is the parent itself."""
    shallow = FrankenmergeBaseline(kind="stack", name="drawn", random=5, pieces=2, longest=1.0)
    (only,) = frankenmerge_recipes(shallow, stage, digests=DIGESTS, layers={"a": 2, "b": 2}, seed=1)
    assert [(hop.parent, hop.layer) for hop in only.path] == [("a", 0), ("a", 1)]


def test_a_written_stack_takes_its_ends_from_its_slices(stage: Stage) -> None:
    """Embeddings of the first slice's parent, head of the last one's."""
    (recipe,) = frankenmerge_recipes(
        FrankenmergeBaseline.model_validate(WRITTEN), stage, digests=DIGESTS, layers=LAYERS, seed=1
    )
    assert [(hop.parent, hop.layer) for hop in recipe.path] == [("a", 0), ("a", 1), ("b", 1)]
    assert (recipe.owner, recipe.head) == ("a", "b")


def test_a_slice_beyond_the_last_layer_is_refused(stage: Stage) -> None:
    """With the range that there is."""
    beyond = FrankenmergeBaseline(kind="stack", name="x", slices=[("a", 0, 9)])
    with pytest.raises(ConfigError, match=r"at most \[a, 0, 8\]"):
        frankenmerge_recipes(beyond, stage, digests=DIGESTS, layers=LAYERS, seed=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"random": 3}, "either `slices`, or `random`"),
        ({"slices": []}, "either `slices`, or `random`"),
        ({"slices": [["a", 2, 2]]}, "is empty"),
        ({"slices": [["aa", 0, 2]]}, "unknown parent 'aa'"),
        ({"kind": "stak"}, "there is no 'stak'"),
        ({"pices": 2}, "did you mean `pieces`|valid names"),
    ],
)
def test_faults_of_a_stack_are_told(
    changes: dict[str, Any], message: str, tiny_config: dict[str, Any]
) -> None:
    """Before anything runs."""
    raw = tiny_config | {"baselines": [WRITTEN | changes]}
    with pytest.raises(ConfigError, match=message):
        validate_config(parse_config(raw, where="test"), where="test")


def test_stacks_are_scored_beside_the_other_baselines(make_run: MakeRun) -> None:
    """One row for the written stack, one for the best of the random ones."""
    average = {"name": "average", "method": "linear", "parameters": {"weight": 1.0}}
    random = {"kind": "stack", "name": "drawn", "random": 3, "longest": 2.0}
    run = make_run(baselines=[average, WRITTEN, random])
    write_baselines(run.files, run.config)
    ShardEvaluator(run.files, run.config, job=0).evaluate("baselines", 0, log=quiet)
    write_ranked(run.files, run.config, "baselines", 0, log=quiet)
    phase = run.files.phase("baselines")
    generation = read_generation(phase.generation(0).outcomes)
    assert all(entry.fitness is not None for entry in generation.ranked)
    population = Population.model_validate_json(phase.generation(0).population.read_bytes())
    rows = tuned(population, {entry.recipe: entry.fitness for entry in generation.ranked})
    assert list(rows) == ["a", "b", "base", "average", "written", "drawn"]
    assert isinstance(read_recipe(phase.candidate(rows["drawn"][1]).recipe), DataflowRecipe)
    scores = [
        entry.fitness
        for candidate, entry in zip(population.candidates, generation.ranked, strict=True)
        if candidate.origin["name"] == "drawn"
    ]
    chosen = next(entry for entry in generation.ranked if entry.recipe == rows["drawn"][1])
    assert len(scores) == 3
    assert chosen.fitness == max(score for score in scores if score is not None)
