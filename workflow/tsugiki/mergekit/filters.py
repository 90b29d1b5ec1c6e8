"""Writing values of tensors as mergekit's filters: parts of names, of which the first one counts.

From a value for every tensor to a recipe's parameter, with the coarsest grouping that fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Literal

from tsugiki.contracts.recipe import Grouping, Parameter
from tsugiki.errors import RecipeError
from tsugiki.models.grouping import group_of
from tsugiki.models.kinds.blocks import BLOCK
from tsugiki.models.kinds.text import TEXT

Named = Literal["model", "block", "block_part"] | dict[str, str]
"""A grouping that puts each tensor into one group."""
Row = tuple[float, ...]
"""Values of one tensor, in order of the owners."""


def as_parameter(values: Mapping[str, Mapping[str, float]]) -> Parameter:
    """The parameter with these values.

    Args:
        values: `values[owner][tensor]`; the same tensors for every owner.
    """
    owners = sorted(values)
    tensors = sorted(values[owners[0]])
    rows = {tensor: tuple(values[owner][tensor] for owner in owners) for tensor in tensors}
    named: tuple[Named, ...] = ("model", "block", "block_part")
    for grouping in named:
        with suppress(RecipeError):  # a tensor that this grouping has no group for
            if (groups := _grouped(rows, grouping)) is not None:
                return _parameter(owners, grouping, groups)
    mapping = _explicit(rows)
    groups = _grouped(rows, mapping)
    assert groups is not None, "tensors of an explicit group share their values"
    return _parameter(owners, mapping, groups)


def _parameter(owners: list[str], grouping: Grouping, groups: Mapping[str, Row]) -> Parameter:
    return Parameter(
        grouping=grouping,
        values={
            owner: {group: row[index] for group, row in groups.items()}
            for index, owner in enumerate(owners)
        },
    )


def _grouped(rows: Mapping[str, Row], grouping: Named) -> dict[str, Row] | None:
    """Values of each group; None where tensors of a group differ."""
    groups: dict[str, Row] = {}
    for tensor, row in rows.items():
        if groups.setdefault(group_of(tensor, grouping, TEXT), row) != row:
            return None
    return groups


def _explicit(rows: Mapping[str, Row]) -> dict[str, str]:
    """Named expressions, of which each tensor matches exactly one.

    If tensors with the same place in their blocks have the same values in all blocks, an
    expression stands for all blocks; otherwise each block has groups of its own.
    """
    patterns = {tensor: _any_block(tensor) for tensor in rows}
    distinct = {(patterns[tensor], row) for tensor, row in rows.items()}
    if len(distinct) == len(set(patterns.values())):
        return _named({("", pattern): row for pattern, row in distinct})
    return _named({(_prefix(tensor), re.escape(tensor)): row for tensor, row in rows.items()})


def _named(rows: Mapping[tuple[str, str], Row]) -> dict[str, str]:
    """One expression for all patterns of a prefix that share their values."""
    classes: dict[tuple[str, Row], list[str]] = {}
    for (prefix, pattern), row in sorted(rows.items()):
        classes.setdefault((prefix, row), []).append(pattern)
    counts: dict[str, int] = {}
    mapping = {}
    for (prefix, _), patterns in classes.items():
        counts[prefix] = counts.get(prefix, 0) + 1
        mapping[f"{prefix}tensors.{counts[prefix]}"] = f"^(?:{'|'.join(patterns)})$"
    return mapping


def _any_block(tensor: str) -> str:
    """An expression for the tensor's counterparts in all blocks."""
    block = BLOCK.search(tensor)
    if block is None:
        return re.escape(tensor)
    return re.escape(tensor[: block.start(1)]) + r"\d+" + re.escape(tensor[block.end(1) :])


def _prefix(tensor: str) -> str:
    block = BLOCK.search(tensor)
    return f"block.{int(block[1])}." if block else ""


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
