"""Recipes in data-flow space as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.merge.dataflow.paths_for_tests import path_recipe, winding
from tests.merge.models_for_tests import digest_of, recipe_of
from tsugiki.contracts.recipe import ParentRef, read_recipe
from tsugiki.errors import RecipeError


def refs(*names: str) -> tuple[ParentRef, ...]:
    """Parents by name."""
    return tuple(ParentRef(name=name, digest=digest_of(name)) for name in names)


def test_a_recipe_of_either_space_is_read_back(tmp_path: Path) -> None:
    """As the kind that it is, with the same digest."""
    for recipe in (winding(), recipe_of("linear")):
        path = tmp_path / f"{recipe.space}.json"
        path.write_bytes(recipe.to_json())
        again = read_recipe(path)
        assert again == recipe
        assert type(again) is type(recipe)
        assert again.digest == recipe.digest


def test_a_recipe_of_no_known_space_is_refused(tmp_path: Path) -> None:
    """With the file's name."""
    path = tmp_path / "recipe.json"
    path.write_text('{"space": "outer"}')
    with pytest.raises(RecipeError, match="not a valid recipe"):
        read_recipe(path)


def test_the_same_model_has_one_recipe() -> None:
    """Whatever the order of parents, those that take no part, and a head that is the owner's."""
    hops = [("a", 0), ("b", 1)]
    plain = path_recipe(hops, parents=refs("a", "b"))
    for same in (
        path_recipe(hops, parents=refs("b", "a")),
        path_recipe(hops, parents=refs("a", "b", "c")),
        path_recipe(hops, head="a"),
    ):
        assert same.digest == plain.digest


@pytest.mark.parametrize(
    "other",
    [
        path_recipe([("a", 0), ("b", 2)]),
        path_recipe([("b", 1), ("a", 0)]),
        path_recipe([("a", 0), ("b", 1, 0.5)]),
        path_recipe([("a", 0), ("b", 1, 1.0, {"mlp.up_proj.weight": 0.5})]),
        path_recipe([("a", 0), ("b", 1)], head="b"),
        path_recipe([("a", 0), ("b", 1)], owner="b"),
        path_recipe([("a", 0), ("b", 1)], dtype="bfloat16"),
    ],
)
def test_whatever_changes_the_model_changes_the_digest(other: Any) -> None:
    """Layers, their order, scales, factors, who gives the ends, and the number format."""
    assert other.digest != path_recipe([("a", 0), ("b", 1)]).digest


@pytest.mark.parametrize(
    ("hops", "fields", "message"),
    [
        ([], {}, "at least 1 item"),
        ([("a", -1)], {}, "greater than or equal to 0"),
        ([("a", 0, float("nan"))], {}, "finite number"),
        ([("c", 0)], {}, "not among the parents: c"),
        ([("a", 0)], {"owner": "c"}, "not among the parents: c"),
        ([("a", 0)], {"parents": refs("a", "a")}, "named twice"),
    ],
)
def test_what_is_no_path_is_refused(hops: Any, fields: Any, message: str) -> None:
    """When it is made, before any model is read."""
    with pytest.raises(ValidationError, match=message):
        path_recipe(hops, **fields)
