"""Values of mergekit parameters for single tensors, against values worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tsugiki.errors import RecipeError
from tsugiki.mergekit.filters import TensorPlace, resolve

MLP = "model.layers.1.mlp.up_proj.weight"
ATTENTION = "model.layers.1.self_attn.q_proj.weight"


def value(setting: Any, tensor: str = MLP, t: float | None = 0.0, *, then: Any = None) -> Any:
    """The value of `x` where one scope gives `setting`, and a later one `then`."""
    scopes = [{"x": setting}, *([{"x": then}] if then is not None else [])]
    return resolve(scopes, "x", TensorPlace(tensor, 0, t))


def test_first_filter_that_is_part_of_the_name_counts() -> None:
    """Filters are tried in order; the last one without a filter fits the rest."""
    setting = [
        {"filter": "mlp", "value": 0.1},
        {"filter": "up_proj", "value": 0.2},
        {"value": 0.3},
    ]
    assert value(setting, MLP) == 0.1
    assert value(setting, ATTENTION) == 0.3
    assert value([{"filter": "*", "value": 0.5}], ATTENTION) == 0.5


def test_without_a_fitting_filter_the_next_scope_counts() -> None:
    """A model's parameters come before those of the file."""
    setting = {"filter": "mlp", "value": 0.1}
    assert value(setting, MLP, then=0.8) == 0.1
    assert value(setting, ATTENTION, then=0.8) == 0.8
    assert value(setting, ATTENTION) is None


def test_filter_may_hold_a_gradient() -> None:
    """The usual slerp recipe: one curve for attention, another for the rest."""
    setting = [{"filter": "self_attn", "value": [0.0, 1.0]}, {"value": [1.0, 0.0]}]
    assert value(setting, ATTENTION, 0.25) == 0.25
    assert value(setting, MLP, 0.25) == 0.75


def test_yaml_scientific_notation_is_a_number() -> None:
    """YAML 1.1 reads 1e-3 as a text."""
    assert value("1e-3") == 0.001


@pytest.mark.parametrize(
    "setting",
    ["half", None, [0.1, "x"], [{"filter": "mlp"}], [{"filtre": "mlp", "value": 1}], [0.1, {}]],
)
def test_what_is_no_number_is_refused_by_the_parameters_name(setting: Any) -> None:
    """No value is guessed."""
    with pytest.raises(RecipeError, match="`x`"):
        value(setting)


def test_gradient_over_an_image_encoder_is_refused() -> None:
    """Its layers are not those of the language model."""
    assert value([0.5, 0.5], t=None) == 0.5
    with pytest.raises(RecipeError, match="image encoder"):
        value([0.2, 0.5], t=None)


def test_true_and_false_have_no_gradient() -> None:
    """A flag either holds or does not."""
    assert value(setting=True) is True
    with pytest.raises(RecipeError, match="in between"):
        value([True, False])
