"""Values that change along the depth of a model: straight lines between a few anchors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tsugiki.recipe.grouping import BEFORE_BLOCKS, BLOCK


def block_of(tensor: str) -> int | None:
    """Number of the block that a tensor lies in; None outside the language model's blocks."""
    if any(pattern.search(tensor) for _, pattern in BEFORE_BLOCKS):
        return None
    found = BLOCK.search(tensor)
    return int(found[1]) if found else None


def depth(tensors: Iterable[str]) -> int:
    """How many blocks a model with these tensors has."""
    return 1 + max(
        (block for tensor in tensors if (block := block_of(tensor)) is not None), default=0
    )


def value_at(values: Mapping[str, float], tensor: str, blocks: int) -> float:
    """The value of a tensor.

    Block i of L stands at t = i / (L - 1), and the k anchors at 0, 1 / (k - 1), …, 1. Tensors outside
    the blocks have the first anchor's value, and a single block the last one's; both as in mergekit.

    Args:
        values: By anchor; two or more.
        tensor: The tensor's name.
        blocks: How many blocks the model has.
    """
    last = len(values) - 1
    block = block_of(tensor)
    t = 0.0 if block is None else block / (blocks - 1) if blocks > 1 else 1.0
    place = last * t
    left = min(int(place), last - 1)
    share = place - left
    return (1 - share) * values[f"anchor.{left}"] + share * values[f"anchor.{left + 1}"]
