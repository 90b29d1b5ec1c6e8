"""Values that change along the depth of a model: straight lines between a few anchors.

Which tensors of a model share a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal

from tsugiki.contracts.recipe import Gradient, Grouping
from tsugiki.errors import RecipeError

BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.([^.]+)")
BEFORE_BLOCKS = (
    ("vision", re.compile(r"(?:^|\.)(?:vision_tower|vision_model|visual|image_encoder)\.")),
    ("projector", re.compile(r"(?:^|\.)(?:multi_modal_projector|mm_projector|connector)\.")),
)
OUTSIDE_BLOCKS = (
    (
        "embeddings",
        re.compile(r"(?:^|\.)(?:embed_tokens|wte|wpe|embed_in|word_embeddings|embed_positions)\."),
    ),
    (
        "head",
        re.compile(
            r"(?:^|\.)"
            r"(?:lm_head|embed_out|norm|ln_f|final_norm|final_layernorm|final_layer_norm)\."
        ),
    ),
)
PARTS = (
    ("norm", re.compile(r"norm|^ln")),  # before attention: `post_attention_layernorm` is a norm
    ("attention", re.compile(r"attn|attention")),
    ("mlp", re.compile(r"mlp|ffn|feed_?forward|experts|moe|^fc\d|router")),
)
FIXED = ("vision", "projector", "embeddings")
"""Groups before the first block, in this order."""


def group_of(
    tensor: str, grouping: Literal["model", "block", "block_part"] | dict[str, str]
) -> str:
    """The group that a tensor belongs to.

    `model`: one group of that name. `block`: `embeddings`, `block.0` and so on, `head` (with the
    final norm); the image encoder and projector of a vision-language model are `vision` and
    `projector`. `block_part`: the same, with `block.0.attention`, `block.0.mlp`, `block.0.norm`.
    A mapping: the name whose expression is found in the tensor's name. A gradient has no groups, but
    anchors (see `gradient`).

    Raises:
        RecipeError: the tensor belongs to no group, or to more than one.
    """
    if isinstance(grouping, dict):
        return _mapped(tensor, tuple(sorted(grouping.items())))
    return _named(tensor, grouping)


def groups(tensors: Iterable[str], grouping: Grouping) -> list[str]:
    """The groups of a model's tensors, each once: embeddings, blocks by number, head.

    Groups of a mapping are in the order of their names; those of a gradient are its anchors.

    Raises:
        RecipeError: a tensor belongs to no group, or to more than one.
    """
    if isinstance(grouping, Gradient):
        return [f"anchor.{index}" for index in range(grouping.gradient)]
    return sorted({group_of(tensor, grouping) for tensor in tensors}, key=_order)


@lru_cache(maxsize=65536)
def _named(tensor: str, grouping: str) -> str:
    if grouping == "model":
        return "model"
    block = BLOCK.search(tensor)
    if (group := _first(BEFORE_BLOCKS, tensor)) is not None:
        return group
    if block and grouping == "block":
        return f"block.{int(block[1])}"
    if block and (part := _first(PARTS, block[2])) is not None:
        return f"block.{int(block[1])}.{part}"
    if not block and (group := _first(OUTSIDE_BLOCKS, tensor)) is not None:
        return group
    raise RecipeError(
        "a tensor belongs to no group",
        where=f"tensor {tensor}",
        got=f"grouping `{grouping}`",
        fix="give a mapping of group names to regular expressions that covers every tensor",
    )


def _first(table: Iterable[tuple[str, re.Pattern[str]]], text: str) -> str | None:
    return next((name for name, pattern in table if pattern.search(text)), None)


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


def _order(group: str) -> tuple[int, int, str]:
    if group in FIXED:
        return FIXED.index(group), 0, ""
    if group == "head":
        return len(FIXED) + 1, 0, ""
    number = re.match(r"block\.(\d+)", group)
    return len(FIXED), int(number[1]) if number else -1, group


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
