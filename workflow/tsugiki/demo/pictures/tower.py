"""A tiny LLaVA 1.5: a CLIP tower and a projector before a llama."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    CLIPVisionConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from tsugiki.demo.pictures.drawing import CELL, SIDE
from tsugiki.demo.pictures.scenes import COLOURS, KINDS, Scene
from tsugiki.demo.pictures.tokenizer import IMAGE, PATCHES, build_tokenizer
from tsugiki.demo.training import draw_weights, greedy

DEVIATION = 0.08
NAMED = (len(COLOURS) + 1, len(KINDS) + 1, PATCHES)
"""Choices for a patch's colour, its kind (the last of each is none), and its place."""


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
    text = language.config.to_dict()
    text.pop("_name_or_path", None)  # where the base lies is no part of the model
    config = LlavaConfig(
        vision_config=tower,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        model = LlavaForConditionalGeneration(config)
    for part in (model.model.vision_tower, model.model.multi_modal_projector):
        draw_weights(part, DEVIATION, seed)
    nn.init.zeros_(
        model.model.vision_tower.embeddings.class_embedding
    )  # of one dimension, and random
    model.model.language_model.load_state_dict(language.model.state_dict())
    model.tie_weights()
    model.generation_config = greedy(tokenizer)
    return model


class Naming(nn.Module):
    """A tower with a linear head, to learn what a patch shows before it is shown to a language model.

    The head is thrown away.
    """

    def __init__(self, tower: nn.Module, seed: int) -> None:
        super().__init__()
        self.tower = tower
        self.head = nn.Linear(int(tower.config.hidden_size), sum(NAMED))  # type: ignore[arg-type,union-attr]
        nn.init.zeros_(self.head.bias)
        draw_weights(self.head, DEVIATION, seed)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Shape (pictures, 3, side, side) to (pictures, patches, choices)."""
        seen = self.tower(pixel_values=pixel_values).last_hidden_state[:, 1:]
        named: torch.Tensor = self.head(seen)
        return named


def naming_loss(
    model: Naming, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor
) -> torch.Tensor:
    """Sum of the mean cross-entropies (nats) of colour, kind and place; labels as in `names_of`."""
    found = model(**inputs).flatten(0, 1).split(NAMED, dim=1)
    losses = [
        functional.cross_entropy(part, labels[..., index].flatten())
        for index, part in enumerate(found)
    ]
    return torch.stack(losses).sum()


def names_of(scene: Scene) -> list[list[int]]:
    """Colour, kind and place of each patch, by index into what `NAMED` counts."""
    named = [[len(COLOURS), len(KINDS), patch] for patch in range(PATCHES)]
    for cell in scene.cells:
        named[cell][:2] = [scene.colour, scene.kind]
    return named
