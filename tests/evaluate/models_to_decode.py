"""Small models that generate, and prompts for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

PAD, END = 0, 5
WIDTH, LONGEST = 23, 80
SHAPE = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
}


def llama(seed: int = 1, **changes: Any) -> Any:
    """Two heads to a key."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**(SHAPE | changes))).eval().requires_grad_(False)


def qwen3(seed: int = 1) -> Any:
    """With norms for queries and keys."""
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(Qwen3Config(**SHAPE)).eval().requires_grad_(False)


def gemma3(seed: int = 1) -> Any:
    """Five of six layers see the last eight tokens only."""
    torch.manual_seed(seed)
    config = Gemma3TextConfig(**SHAPE, sliding_window=8, query_pre_attn_scalar=16)
    return Gemma3ForCausalLM(config).eval().requires_grad_(False)


def prompts(rows: int = 5) -> tuple[Tensor, Tensor]:
    """Prompts of unequal length, padded on the left, and their mask; (rows, WIDTH)."""
    context = torch.randint(6, 97, (rows, WIDTH), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(context)
    for row in range(rows):
        mask[row, : (3 * row) % 20] = 0
    return context, mask


def generated(model: Any, context: Tensor, mask: Tensor, longest: int = LONGEST) -> list[list[int]]:
    """Answers of transformers."""
    tokens = model.generate(
        input_ids=context,
        attention_mask=mask,
        max_length=longest,
        do_sample=False,
        pad_token_id=PAD,
        eos_token_id=END,
    )
    return [row[WIDTH:] for row in tokens.tolist()]
