"""The recipe: a candidate's identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tsugiki.canonical import digest
from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe, read_recipe
from tsugiki.errors import RecipeError


def recipe(**changes: Any) -> Recipe:
    """A recipe of two parents."""
    fields: dict[str, Any] = {
        "method": "ties",
        "base": ParentRef(name="base", digest="0" * 64),
        "parents": (ParentRef(name="a", digest="1" * 64), ParentRef(name="b", digest="2" * 64)),
        "parameters": {"weight": Parameter(values={"a": {"model": 0.5}, "b": {"model": 0.25}})},
        "owner": "base",
    }
    return Recipe(**(fields | changes))


def test_the_digest_is_that_of_the_canonical_json() -> None:
    """So that any other program can compute it."""
    assert recipe().digest == digest(recipe().model_dump(mode="json"))
    assert recipe().short == recipe().digest[:12]


def test_a_recipe_of_version_1_calls_its_owner_tokenizer(tmp_path: Path) -> None:
    """So that recipes keep their digests; no other key is read."""
    path = tmp_path / "recipe.json"
    path.write_bytes(recipe().to_json())
    assert b'"tokenizer": "base"' in path.read_bytes()
    assert read_recipe(path).owner == "base"
    path.write_bytes(path.read_bytes().replace(b'"tokenizer"', b'"owner"'))
    with pytest.raises(RecipeError):
        read_recipe(path)


def test_order_of_parents_and_values_does_not_matter() -> None:
    """Parents are kept in the order of their names."""
    swapped = recipe(
        parents=recipe().parents[::-1],
        parameters={"weight": Parameter(values={"b": {"model": 0.25}, "a": {"model": 0.5}})},
    )
    assert swapped.digest == recipe().digest
    assert [parent.name for parent in swapped.parents] == ["a", "b"]


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "dare_ties"},
        {"base": None},
        {"parents": (ParentRef(name="a", digest="3" * 64), ParentRef(name="b", digest="2" * 64))},
        {"parameters": {}},
        {"options": {"normalize": True}},
        {"mask_seed": 1},
        {"dtype": "float32"},
        {"owner": "a"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_everything_that_changes_the_model_changes_the_digest(changes: dict[str, Any]) -> None:
    """No two merges share a name."""
    assert recipe(**changes).digest != recipe().digest


def test_a_parent_named_twice_is_refused() -> None:
    """Its values would be ambiguous."""
    parent = ParentRef(name="a", digest="1" * 64)
    with pytest.raises(ValueError, match="named twice"):
        recipe(parents=(parent, parent))


def test_a_recipe_survives_its_file(tmp_path: Path) -> None:
    """The file's bytes are the same again."""
    path = tmp_path / "recipe.json"
    path.write_bytes(recipe().to_json())
    assert read_recipe(path) == recipe()
    assert read_recipe(path).to_json() == path.read_bytes()


@pytest.mark.parametrize("content", ["", "{}", '{"method": "ties", "surprise": 1}', "null"])
def test_a_file_that_holds_no_recipe_is_named(tmp_path: Path, content: str) -> None:
    """Half a file, or another's."""
    path = tmp_path / "recipe.json"
    path.write_text(content)
    with pytest.raises(RecipeError, match="not a valid recipe") as caught:
        read_recipe(path)
    assert caught.value.where == str(path)
