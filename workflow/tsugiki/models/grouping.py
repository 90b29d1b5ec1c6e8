"""Which tensors of a model share a value: groups, or a gradient along the model's depth."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal

from tsugiki.contracts.recipe import Gradient, Grouping
from tsugiki.errors import RecipeError
from tsugiki.models.kinds.kind import Kind, Place


def group_of(
    tensor: str, grouping: Literal["model", "block", "block_part"] | dict[str, str], kind: Kind
) -> str:
    """The group that a tensor belongs to.

    `model`: one group of that name. `block`: of a language model `embeddings`, `block.0` and so on,
    `head` (with the final norm); the image encoder and projector of a vision-language model are
    `vision` and `projector`. `block_part`: blocks are divided into parts, `block.0.attention`,
    `block.0.mlp`, `block.0.norm`. A mapping: the name whose expression is found in the tensor's name.
    A gradient has no groups, but anchors (see `value_at`).

    Raises:
        RecipeError: the tensor belongs to no group, or to more than one.
    """
    if isinstance(grouping, dict):
        return _mapped(tensor, tuple(sorted(grouping.items())))
    if grouping == "model":
        return "model"
    place = kind.place(tensor)
    if place is not None and (grouping == "block" or not place.in_block):
        return place.group
    if place is not None and place.part is not None:
        return f"{place.group}.{place.part}"
    raise RecipeError(
        "a tensor belongs to no group",
        where=f"tensor {tensor}",
        got=f"grouping `{grouping}`",
        fix="give a mapping of group names to regular expressions that covers every tensor",
    )


def groups(tensors: Iterable[str], grouping: Grouping, kind: Kind) -> list[str]:
    """The groups of a model's tensors, each once, in the order of the data's way through it.

    Groups of a mapping are in the order of their names; those of a gradient are its anchors.

    Raises:
        RecipeError: a tensor belongs to no group, or to more than one.
    """
    if isinstance(grouping, Gradient):
        return [f"anchor.{index}" for index in range(grouping.gradient)]
    names = list(tensors)
    found = {group_of(name, grouping, kind): kind.place(name) for name in names}
    if isinstance(grouping, dict) or grouping == "model":
        return sorted(found)
    order = [*kind.before, *kind.blocks(names), *kind.after]
    numbers = {group: number for number, group in enumerate(order)}
    places = {group: numbers[place.group] for group, place in found.items() if place is not None}
    return sorted(places, key=lambda group: (places[group], group))


@lru_cache(maxsize=65536)
def _mapped(tensor: str, grouping: tuple[tuple[str, str], ...]) -> str:
    found = [name for name, pattern in grouping if re.search(pattern, tensor)]
    if len(found) == 1:
        return found[0]
    # A mapping has no order once it is stored, so that "the first match" would mean nothing.
    raise RecipeError(
        "a tensor belongs to no group" if not found else "a tensor belongs to several groups",
        where=f"tensor {tensor}",
        expected="exactly one expression that is found in its name",
        got=", ".join(found) or "none of " + ", ".join(name for name, _ in grouping),
        fix="change the expressions so that each tensor matches one",
    )


def value_at(values: Mapping[str, float], place: Place | None, blocks: Sequence[str]) -> float:
    """The value of a tensor at a place, which may be unknown, by its anchors: two or more, by name.

    Block i of L stands at t = i / (L - 1), and the k anchors at 0, 1 / (k - 1), …, 1. Tensors outside
    the blocks have the first anchor's value, and a single block the last one's; both as in mergekit.
    """
    t = 0.0
    if place is not None and place.in_block:
        t = blocks.index(place.group) / (len(blocks) - 1) if len(blocks) > 1 else 1.0
    return interpolated([values[f"anchor.{index}"] for index in range(len(values))], t)


def interpolated(anchors: Sequence[float], t: float) -> float:
    """On straight lines between one or more anchors, spread evenly over [0, 1], at the place `t`."""
    at = t * (len(anchors) - 1)
    left = max(0, min(int(at), len(anchors) - 2))
    share = at - left
    return (1 - share) * anchors[left] + share * anchors[min(left + 1, len(anchors) - 1)]
