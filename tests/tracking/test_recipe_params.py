"""Recipes as parameters of runs in MLflow."""

from __future__ import annotations

from tests.merge.dataflow.paths_for_tests import path_recipe
from tests.merge.models_for_tests import recipe_of
from tsugiki.tracking.records import recipe_params


def test_a_path_is_shown_hop_by_hop() -> None:
    """With its scales, where there are any."""
    recipe = path_recipe([("a", 0), ("b", 3, -0.75)], head="b")
    assert recipe_params(recipe) == {
        "method": "dataflow",
        "dtype": "float32",
        "tokenizer": "a",
        "owner": "a",
        "head": "b",
        "path.length": "2",
        "path": "a.0 b.3*-0.75",
    }


def test_a_path_too_long_for_mlflow_is_left_to_its_file() -> None:
    """MLflow would cut it without a word."""
    assert "path" not in recipe_params(path_recipe([("a", 0)] * 401))


def test_values_of_a_merge_are_shown_by_name() -> None:
    """One that belongs to all parents has no parent's name."""
    recipe = recipe_of("ties", values={"weight": [0.5, 0.25], "density": 0.4})
    shown = recipe_params(recipe)
    assert shown["weight.a.model"] == "0.5"
    assert shown["density.model"] == "0.4"
    assert "path" not in shown
