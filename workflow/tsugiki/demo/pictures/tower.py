"""A tiny LLaVA 1.5: a CLIP tower and a projector before a llama."""

from __future__ import annotations

import torch
from transformers import (
    CLIPVisionConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from tsugiki.demo.pictures.drawing import CELL, SIDE
from tsugiki.demo.pictures.tokenizer import IMAGE, build_tokenizer
from tsugiki.demo.training import draw_weights, greedy

DEVIATION = 0.08


def with_tower(
    language: LlamaForCausalLM, width: int, blocks: int, seed: int
) -> LlavaForConditionalGeneration:
    """A vision-language model with the weights of a llama, and a tower and a projector drawn at random.

    Args:
        language: Its language part, tied; it is copied.
        width: Of the tower.
        blocks: Of the tower.
        seed: Of the tower's and the projector's weights.
    """
    tokenizer = build_tokenizer()
    tower = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=blocks,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=CELL,
    )
    config = LlavaConfig(
        vision_config=tower,
        text_config=language.config,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        model = LlavaForConditionalGeneration(config)
    draw_weights(model.model.vision_tower, DEVIATION, seed)
    draw_weights(model.model.multi_modal_projector, DEVIATION, seed)
    model.model.language_model.load_state_dict(language.model.state_dict())
    model.tie_weights()
    model.generation_config = greedy(tokenizer)
    return model
