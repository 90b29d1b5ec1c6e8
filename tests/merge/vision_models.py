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

Settings = dict[str, Any]


def tower() -> Settings:
    """Settings of a CLIP or SigLIP tower of two layers."""
    return {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 8,
        "patch_size": 4,
    }


def llava_config(text: Settings, image_token: int) -> LlavaConfig:
    """A llama of these settings, a CLIP tower, and a projector."""
    return LlavaConfig(
        text_config=LlamaConfig(**text),
        vision_config=CLIPVisionConfig(**tower()),
        image_token_index=image_token,
        tie_word_embeddings=False,
    )


def rope(*sections: int) -> Settings:
    """Rotary positions in three dimensions, as Qwen's vision-language models have them."""
    return {
        "rope_parameters": {
            "rope_type": "default",
            "mrope_section": list(sections),
            "rope_theta": 10_000.0,
        }
    }


def qwen2_vl_config(text: Settings, **tokens: int) -> Qwen2VLConfig:
    """A Qwen2 of these settings, with a tower of one block; `tokens` are ids of its marks."""
    return Qwen2VLConfig(
        text_config=text,
        vision_config={
            "depth": 1,
            "embed_dim": 16,
            "hidden_size": 16,
            "num_heads": 2,
            "mlp_ratio": 1,
            "patch_size": 4,
        },
        **tokens,
        tie_word_embeddings=False,
    )


def save_llava(folder: Path, *, seed: int = 0, **text: Any) -> Path:
    """Save a random LLaVA."""
    config = llava_config({**TEXT, **text}, VOCABULARY - 1)
    return _save(LlavaForConditionalGeneration, config, folder, seed)


def save_qwen2_vl(folder: Path, *, seed: int = 0) -> Path:
    """Save a random Qwen2-VL, which stores its language model under the names of a Qwen2."""
    config = qwen2_vl_config({**TEXT, **rope(1, 1, 2)})
    return _save(Qwen2VLForConditionalGeneration, config, folder, seed)


def _save(kind: type[PreTrainedModel], config: Any, folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    kind(config).save_pretrained(folder)
    save_tokenizer(folder)
    (folder / "preprocessor_config.json").write_text(f'{{"size": {seed}}}')
    return folder
