"""Tiny vision-language models, made anew for the tests: LLaVA and Qwen2-VL, with whole tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedModel,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)

from tests.merge.models_for_tests import TEXT, VOCABULARY, save_tokenizer


def save_llava(folder: Path, *, seed: int = 0, **text: Any) -> Path:
    """Save a random LLaVA: a llama, a CLIP tower of two layers, and a projector."""
    config = LlavaConfig(
        text_config=LlamaConfig(**{**TEXT, **text}),
        vision_config=CLIPVisionConfig(
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=8,
            patch_size=4,
        ),
        image_token_index=VOCABULARY - 1,
        tie_word_embeddings=False,
    )
    return _save(LlavaForConditionalGeneration, config, folder, seed)


def save_qwen2_vl(folder: Path, *, seed: int = 0) -> Path:
    """Save a random Qwen2-VL, which stores its language model under the names of a Qwen2."""
    config = Qwen2VLConfig(
        text_config={
            **TEXT,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [1, 1, 2],
                "rope_theta": 10_000.0,
            },
        },
        vision_config={
            "depth": 1,
            "embed_dim": 16,
            "hidden_size": 16,
            "num_heads": 2,
            "mlp_ratio": 1,
            "patch_size": 4,
        },
        tie_word_embeddings=False,
    )
    return _save(Qwen2VLForConditionalGeneration, config, folder, seed)


def _save(kind: type[PreTrainedModel], config: Any, folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    kind(config).save_pretrained(folder)
    save_tokenizer(folder)
    (folder / "preprocessor_config.json").write_text(f'{{"size": {seed}}}')
    return folder
