"""A recipe is checked against its method before any work."""

from __future__ import annotations

from typing import Any

import pytest

from tests.merge.models_for_tests import recipe_of
from tsugiki.contracts.recipe import Parameter, Recipe
from tsugiki.errors import ConfigError, RecipeError
from tsugiki.merge.registry import METHODS, get_method
from tsugiki.merge.settings import Settings
from tsugiki.models.kinds.text import TEXT

TENSORS = [
    "model.embed_tokens.weight",
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.1.mlp.up_proj.weight",
    "model.norm.weight",
]


def blocks(*values: float) -> dict[str, float]:
    """One value for each group of TENSORS."""
    return dict(zip(["embeddings", "block.0", "block.1", "head"], values, strict=True))


def with_weight(values: dict[str, dict[str, float]], grouping: Any = "block") -> Recipe:
    """A task arithmetic recipe with these weights."""
    parameter = Parameter(grouping=grouping, values=values)
    return recipe_of("task_arithmetic").model_copy(update={"parameters": {"weight": parameter}})


def test_each_tensor_gets_the_values_of_its_group() -> None:
    """Values are looked up by parent and group."""
    recipe = with_weight({"a": blocks(0.1, 0.2, 0.3, 0.4), "b": blocks(0.5, 0.6, 0.7, 0.8)})
    settings = Settings(recipe, TENSORS, TEXT)
    assert [parent.name for parent in settings.parents] == ["a", "b"]
    assert settings.per_parent(TENSORS[2]) == {"weight": (0.3, 0.7)}
    assert settings.per_parent(TENSORS[3]) == {"weight": (0.4, 0.8)}
    assert settings.options == {"normalize": False, "lambda": 1.0}


def test_a_shared_value_is_for_all_parents_and_an_absent_one_is_the_default() -> None:
    """`*` stands for every parent."""
    assert Settings(recipe_of("ties", values={"density": 0.5}), TENSORS, TEXT).per_parent(
        TENSORS[0]
    ) == {
        "weight": (1.0, 1.0),
        "density": (0.5, 0.5),
    }


def test_parents_are_in_the_order_of_their_digests() -> None:
    """So that the names that a user gave them change no sum."""
    digests = {"a": "f" * 64, "b": "1" * 64}
    settings = Settings(
        recipe_of("linear", values={"weight": (0.25, 0.75)}, digests=digests), TENSORS, TEXT
    )
    assert [parent.name for parent in settings.parents] == ["b", "a"]
    assert settings.per_parent(TENSORS[0]) == {"weight": (0.75, 0.25)}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (recipe_of("task_arithmetic", base=None, owner="a"), "needs a base"),
        (recipe_of("ties", values={"strength": 1.0}), "no parameter `strength`"),
        (recipe_of("ties", values={"density": 1.5}), "out of range"),
        (recipe_of("ties", values={"density": float("nan")}), "out of range"),
        (recipe_of("ties", options={"speed": 1.0}), "no option `speed`"),
        (recipe_of("ties", options={"normalize": 0.5}), "true or false"),
        (recipe_of("ties", options={"lambda": "big"}), "is a number"),
        (recipe_of("ties", options={"lambda": 1e9}), "out of range"),
        (with_weight({"a": blocks(1, 1, 1, 1)}), "for each parent"),
        (with_weight({"*": blocks(1, 1, 1, 1), "a": blocks(1, 1, 1, 1)}), "for each parent"),
        (with_weight({"*": {"block.0": 1.0}}), "for each group"),
        (with_weight({"*": {"model": 1.0, "block.9": 1.0}}, "model"), "for each group"),
    ],
)
def test_what_does_not_fit_the_method_is_refused(recipe: Recipe, message: str) -> None:
    """Each with one clear error."""
    with pytest.raises(RecipeError, match=message):
        Settings(recipe, TENSORS, TEXT)


@pytest.mark.parametrize("name", list(METHODS))
def test_too_few_or_too_many_parents_are_refused(name: str) -> None:
    """The number of parents is part of the method's description."""
    method = METHODS[name]
    counts = [method.min_parents - 1]
    counts += [method.max_parents + 1] if method.max_parents else []
    for count in counts:
        recipe = recipe_of(name, [f"p{n}" for n in range(count)], owner="base")
        with pytest.raises(RecipeError, match="number of parents"):
            Settings(recipe, TENSORS, TEXT)


def test_an_unknown_method_is_answered_with_the_nearest_names() -> None:
    """A slip of the pen is found quickly."""
    with pytest.raises(ConfigError) as caught:
        get_method("dare_tie")
    assert "`dare_ties`" in str(caught.value)


def test_every_parameter_has_a_sensible_range() -> None:
    """Defaults and gene ranges lie within what is valid."""
    for method in METHODS.values():
        for spec in method.parameters:
            assert spec.low <= spec.gene_range[0] < spec.gene_range[1] <= spec.high
            assert spec.low <= spec.default <= spec.high
