"""Values of tensors as mergekit writes them, read and written: numbers, gradients over layers, filters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from tsugiki.errors import RecipeError
from tsugiki.models.grouping import interpolated

Value = bool | float


@dataclass(frozen=True)
class TensorPlace:
    """Where a tensor stands."""

    tensor: str
    piece: int
    """Number of its slice."""
    t: float | None
    """How far through the slice's layers: 0 at the first, 1 at the last (and at an only one), and
    0 for tensors outside the layers. None in an image encoder, whose layers are others."""


def resolve(scopes: Iterable[Mapping[str, Any]], name: str, place: TensorPlace) -> Value | None:
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


def _evaluate(setting: Any, name: str, place: TensorPlace) -> Value | None:
    if isinstance(setting, Mapping):
        setting = [setting]
    if not isinstance(setting, list):
        return _scalar(setting, name)
    if not any(isinstance(item, Mapping) for item in setting):
        return _interpolated([_scalar(item, name) for item in setting], name, place)
    for item in setting:
        pattern, value = _condition(item, name)
        if pattern in (None, "*") or pattern in place.tensor:
            return _evaluate(value, name, place)
    return None


def _interpolated(anchors: list[Value], name: str, place: TensorPlace) -> Value | None:
    if len(set(anchors)) < 2:
        return anchors[0] if anchors else None
    if place.t is None:
        raise RecipeError(
            f"parameter `{name}` is a gradient over layers, which a recipe cannot express for an "
            "image encoder",
            where=f"tensor {place.tensor}",
            fix="give image encoder and projector one value by a filter",
        )
    if any(isinstance(anchor, bool) for anchor in anchors):
        raise RecipeError("true and false have nothing in between", got=str(anchors))
    return interpolated(anchors, place.t)


def _scalar(value: Any, name: str) -> Value:
    """A number, or true or false. YAML reads `1e-3` as a text; it is taken for the number."""
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


Written = float | list[dict[str, str | float]]
"""A number, or filters with their values and a last value without a filter."""


def as_filters(values: Mapping[str, float]) -> Written:
    """The shortest way to write these values that is also plain to read.

    The value that most tensors have comes last, without a filter. Each filter fits only tensors
    with its value, so that their order does not matter.
    """
    classes: dict[float, list[str]] = {}
    for tensor, value in values.items():
        classes.setdefault(value, []).append(tensor)
    rest = max(classes, key=lambda value: len(classes[value]))
    if len(classes) == 1:
        return rest
    written: list[dict[str, str | float]] = [
        {"filter": part, "value": value}
        for value, tensors in classes.items()
        if value != rest
        for part in _parts(tensors, [other for other in values if values[other] != value])
    ]
    return [*written, {"value": rest}]


def _parts(tensors: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    """Parts of names that together fit all `tensors` and none of the others."""
    left = list(tensors)
    while left:
        safe = [part for part in _candidates(left[0]) if not any(part in name for name in others)]
        if not safe:
            raise RecipeError(
                "a tensor's value cannot be written for mergekit, whose filters are parts of names",
                where=f"tensor {left[0]}",
                got="its whole name is part of another one's",
            )
        best = max(safe, key=lambda part: (sum(part in name for name in left), -len(part)))
        yield best
        left = [name for name in left if best not in name]


def _candidates(tensor: str) -> list[str]:
    """Runs of a name's components, such as `self_attn` or `mlp.up_proj`."""
    words = tensor.split(".")
    return [".".join(words[start:end]) for start, end in combinations(range(len(words) + 1), 2)]
