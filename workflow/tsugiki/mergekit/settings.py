"""The value of a mergekit parameter for one tensor: filters, then gradients over the layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tsugiki.errors import RecipeError

Value = bool | float


@dataclass(frozen=True)
class Place:
    """Where a tensor stands."""

    tensor: str
    piece: int
    """Number of its slice."""
    t: float | None
    """How far through the slice's layers: 0 at the first, 1 at the last (and at an only one), and
    0 for tensors outside the layers. None in an image encoder, whose layers are others."""


def resolve(scopes: Iterable[Mapping[str, Any]], name: str, place: Place) -> Value | None:
    """The parameter's value from the first scope that has one for this tensor; None if none has.

    A list of filters is tried in order; a filter that is absent or `*` fits every tensor, others
    fit tensors whose names contain them. Where none fits, the next scope counts.

    Raises:
        RecipeError: a value is neither a number nor true or false.
    """
    for scope in scopes:
        if name in scope and (value := _evaluate(scope[name], name, place)) is not None:
            return value
    return None


def _evaluate(setting: Any, name: str, place: Place) -> Value | None:
    if isinstance(setting, Mapping):
        setting = [setting]
    if not isinstance(setting, list):
        return scalar(setting, name)
    if not any(isinstance(item, Mapping) for item in setting):
        return _interpolated([scalar(item, name) for item in setting], name, place)
    for item in setting:
        pattern, value = _condition(item, name)
        if pattern in (None, "*") or pattern in place.tensor:
            return _evaluate(value, name, place)
    return None


def _interpolated(anchors: list[Value], name: str, place: Place) -> Value | None:
    if len(set(anchors)) < 2:
        return anchors[0] if anchors else None
    if place.t is None:
        raise RecipeError(
            f"parameter `{name}` is a gradient over layers, which a recipe cannot express for an "
            "image encoder",
            where=f"tensor {place.tensor}",
            fix="give image encoder and projector one value by a filter",
        )
    return gradient(anchors, place.t)


def gradient(anchors: list[Value], t: float) -> Value:
    """Linear interpolation between anchors that are spread evenly over [0, 1].

    Args:
        anchors: One or more numbers.
        t: Place in [0, 1].
    """
    if any(isinstance(anchor, bool) for anchor in anchors):
        raise RecipeError("true and false have nothing in between", got=str(anchors))
    scaled = t * (len(anchors) - 1)
    left = int(scaled)
    right = min(left + 1, len(anchors) - 1)
    share = scaled - left
    return (1 - share) * anchors[left] + share * anchors[right]


def scalar(value: Any, name: str) -> Value:
    """A number, or true or false. YAML reads `1e-3` as a text; it is taken for the number.

    Raises:
        RecipeError: it is none of these.
    """
    if isinstance(value, bool | float):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        raise RecipeError(
            f"parameter `{name}` has a value that is no number", got=repr(value)
        ) from None


def _condition(item: Any, name: str) -> tuple[str | None, Any]:
    if isinstance(item, Mapping) and "value" in item and item.keys() <= {"filter", "value"}:
        pattern = item.get("filter")
        if (pattern is None or isinstance(pattern, str)) and not _nested(item["value"]):
            return pattern, item["value"]
    raise RecipeError(
        f"parameter `{name}` has a filter that cannot be read",
        expected="`filter` (part of tensor names) and `value` (a number or a list of numbers)",
        got=repr(item),
    )


def _nested(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return any(isinstance(item, Mapping | list) for item in items)
