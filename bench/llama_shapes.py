"""Random llamas of usual sizes, made on a GPU: for how long things take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tsugiki.demo.tokenizer import build_tokenizer


@dataclass(frozen=True)
class Size:
    """What makes a llama large."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary: int = 32000


SIZES = {
    "0.1b": Size(768, 2048, 12, 12, 4),
    "1b": Size(2048, 5632, 22, 32, 4),
    "3b": Size(3072, 8192, 28, 24, 8),
    "7b": Size(4096, 14336, 32, 32, 8),
}
"""The last one is Mistral-7B, the one before it nearly Llama-3.2-3B, and 1b TinyLlama."""


def random_llama(name: str, device: str, *, dtype: torch.dtype = torch.bfloat16) -> Any:
    """A llama of a size with random weights; their first words are the demo's."""
    size, tokenizer = SIZES[name], build_tokenizer()
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_value_heads,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=dtype,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return LlamaForCausalLM(config).eval().requires_grad_(requires_grad=False)
    finally:
        torch.set_default_dtype(before)


def save_near(model: Any, folders: list[Path], *, step: float = 0.002) -> None:
    """Save a model, and models that are small random steps from it, each with the demo's tokenizer."""
    for index, folder in enumerate(folders):
        if index:
            with torch.no_grad():
                for weights in model.parameters():
                    weights.add_(torch.randn_like(weights), alpha=step)
        model.save_pretrained(folder)
        build_tokenizer().save_pretrained(folder)
