"""Tuning merges without evolution: the grid of a baseline, and points drawn from it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tsugiki.config.baselines import DEFAULT_BASELINES, Baseline
from tsugiki.config.load import parse_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.recipe import Recipe
from tsugiki.finalists.baselines import baseline_population
from tsugiki.merge.registry import METHODS

PER_PARENT = {
    name: {parameter.name: parameter.per_parent for parameter in method.parameters}
    for name, method in METHODS.items()
}


@pytest.fixture
def config(tiny_config: dict[str, Any]) -> RunConfig:
    """A run that merges `a` and `b`."""
    return parse_config(tiny_config, where="test")


def points(config: RunConfig, **fields: Any) -> list[Recipe]:
    """The recipes of one baseline, in DARE-TIES."""
    baseline = Baseline(name="tuned", method="dare_ties", **fields)
    only = config.model_copy(update={"baselines": [baseline]})
    digests = {name: name[0] * 64 for name in config.parents}
    population, recipes = baseline_population(only, digests, PER_PARENT)
    assert [one.digest for one in recipes] == [one.recipe for one in population.candidates]
    return [one for one in recipes if isinstance(one, Recipe) and one.method == "dare_ties"]


def values(recipe: Recipe) -> tuple[float, ...]:
    """Weight of both parents, density of both."""
    return tuple(
        recipe.parameters[name].values[parent]["model"]
        for name in ("weight", "density")
        for parent in ("a", "b")
    )


GRID = {"weight": [0.4, 0.8, 1.2], "density": [0.3, 0.9]}


def test_a_grid_per_parent_is_tried_whole(config: RunConfig) -> None:
    """Three weights and two densities for each of two parents: 36 points."""
    found = points(config, parameters=GRID, per_parent=["weight", "density"])
    expected = itertools.product(*[GRID["weight"]] * 2, *[GRID["density"]] * 2)
    assert sorted(map(values, found)) == sorted(expected)


def test_a_sample_is_of_distinct_points_of_the_grid(config: RunConfig) -> None:
    """With parents that differ, and every value of every axis among them."""
    found = points(config, parameters=GRID, per_parent=["weight", "density"], sample=20)
    drawn = [values(one) for one in found]
    assert len(set(drawn)) == len(drawn) == 20
    assert [sorted(set(axis)) for axis in zip(*drawn, strict=True)] == [
        *[GRID["weight"]] * 2,
        *[GRID["density"]] * 2,
    ]
    assert any(one[0] != one[1] for one in drawn)


def test_a_sample_depends_on_the_seed(config: RunConfig) -> None:
    """The same again, and others for another seed."""
    fields: dict[str, Any] = {"parameters": GRID, "per_parent": ["weight", "density"], "sample": 9}
    drawn = [values(one) for one in points(config, **fields)]
    assert drawn == [values(one) for one in points(config, **fields)]
    other = config.model_copy(update={"seed": 2})
    assert drawn != [values(one) for one in points(other, **fields)]


def test_a_sample_as_large_as_the_grid_is_the_grid(config: RunConfig) -> None:
    """In its order."""
    whole = points(config, parameters=GRID)
    assert points(config, parameters=GRID, sample=6) == whole
    assert points(config, parameters=GRID, sample=100) == whole


def test_all_tuned_methods_are_tried_equally_often_by_default(config: RunConfig) -> None:
    """For two parents 49 points: all that task arithmetic's grid has, and as many of the others'."""
    digests = {name: name[0] * 64 for name in config.parents}
    population, recipes = baseline_population(config, digests, PER_PARENT)
    tuned = [one.name for one in DEFAULT_BASELINES if one.name.endswith("-tuned")]
    assert len(tuned) == 3
    for name in tuned:
        of_name = [
            recipe.digest
            for candidate, recipe in zip(population.candidates, recipes, strict=True)
            if candidate.origin["name"] == name
        ]
        assert len(set(of_name)) == len(of_name) == 49
