"""Writing values of tensors as mergekit's filters: parts of names, of which the first one counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tsugiki.errors import RecipeError

Written = float | list[dict[str, str | float]]
"""A number, or filters with their values and a last value without a filter."""


def as_filters(values: Mapping[str, float]) -> Written:
    """The shortest way to write these values that is also plain to read.

    The value that most tensors have comes last, without a filter. Each filter fits only tensors
    with its value, so that their order does not matter.

    Args:
        values: A value for each tensor of a slice.
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
    return [
        ".".join(words[start:end])
        for start in range(len(words))
        for end in range(start + 1, len(words) + 1)
    ]
