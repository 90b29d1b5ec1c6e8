"""Blocks, their parts, and what stands around them, by the names that tensors of language models have.

Of a vision-language model too, whose image encoder and projector stand before the blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from tsugiki.models.kinds.kind import Place

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
BEFORE = ("vision", "projector", "embeddings")
AFTER = ("head",)


@lru_cache(maxsize=65536)
def place(tensor: str) -> Place | None:
    """Where a tensor stands; None if its name says nothing of that."""
    if (group := _first(BEFORE_BLOCKS, tensor)) is not None:
        return Place(group)
    if (number := block_of(tensor)) is not None:
        found = BLOCK.search(tensor)
        assert found is not None, "it has a number"
        return Place(f"block.{number}", in_block=True, part=_first(PARTS, found[2]))
    group = _first(OUTSIDE_BLOCKS, tensor)
    return None if group is None else Place(group)


def block_of(tensor: str) -> int | None:
    """Number of the block that a tensor lies in; None outside the language model's blocks."""
    found = None if _first(BEFORE_BLOCKS, tensor) else BLOCK.search(tensor)
    return int(found[1]) if found else None


def count(tensors: Iterable[str]) -> int:
    """How many blocks a model with these tensors has."""
    return 1 + max((number for one in tensors if (number := block_of(one)) is not None), default=0)


def _first(table: Iterable[tuple[str, re.Pattern[str]]], text: str) -> str | None:
    return next((name for name, pattern in table if pattern.search(text)), None)
