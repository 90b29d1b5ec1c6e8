"""Image generators for tests: folders as diffusers lays them out, with or without diffusers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tsugiki.contracts.locks import digest_of_files
from tsugiki.models.files import digest_folder

needs_diffusers = pytest.mark.skipif(
    "CI" not in os.environ and find_spec("diffusers") is None,
    reason="diffusers is not installed: make images",
)

WEIGHTS = "diffusion_pytorch_model.safetensors"
UNET = (
    "conv_in.weight",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight",
    "down_blocks.0.downsamplers.0.conv.weight",
    "down_blocks.0.resnets.0.conv1.weight",
    "mid_block.resnets.0.conv1.weight",
    "up_blocks.0.resnets.0.conv1.weight",
    "conv_out.weight",
)
"""Some of the names that tensors of a U-Net have."""
COMPONENTS: dict[str, tuple[str, str, dict[str, Any], str, tuple[str, ...]]] = {
    "unet": (
        "diffusers",
        "ANetThatNoLibraryMakes",
        {"in_channels": 4, "cross_attention_dim": 8},
        WEIGHTS,
        UNET,
    ),
    "text_encoder": (
        "transformers",
        "CLIPTextModel",
        {"model_type": "clip_text_model", "hidden_size": 8},
        "model.safetensors",
        ("text_model.final_layer_norm.weight",),
    ),
    "vae": ("diffusers", "AutoencoderKL", {"latent_channels": 4}, WEIGHTS, ("decoder.conv_in.w",)),
}
"""Library, class, settings, file of weights and tensors, by component."""


def write_pipeline(folder: Path, seed: int, **settings: Mapping[str, Any]) -> Path:
    """Write a model with a U-Net, a text encoder, a VAE, a scheduler and a tokenizer; return its folder.

    Args:
        folder: Where.
        seed: Of its weights.
        settings: Further settings of components, by name.
    """
    drawn = torch.Generator().manual_seed(seed)
    index: dict[str, Any] = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.1",
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    }
    for name, (library, made_by, own, file, tensors) in COMPONENTS.items():
        index[name] = [library, made_by]
        (folder / name).mkdir(parents=True)
        write_json(folder / name / "config.json", {**own, **settings.get(name, {})})
        weights = {one: torch.randn(4, 4, generator=drawn) for one in tensors}
        save_file(weights, folder / name / file, metadata={"format": "pt", "seed": str(seed)})
    for name, file in (
        ("scheduler", "scheduler_config.json"),
        ("tokenizer", "tokenizer_config.json"),
    ):
        (folder / name).mkdir()
        write_json(folder / name / file, {"of": seed, **settings.get(name, {})})
    (folder / "tokenizer" / "merges.txt").write_text(f"#version: {seed}\n")
    write_json(folder / "model_index.json", index)
    return folder


def write_json(path: Path, content: Any) -> None:
    """Write it as it is."""
    path.write_text(json.dumps(content))


def digests_of(folders: Mapping[str, Path]) -> dict[str, str]:
    """Digest of each model's files, by name."""
    return {name: digest_of_files(digest_folder(folder)) for name, folder in folders.items()}


def write_tiny_diffusion(folder: Path, seed: int) -> Path:
    """Write a pipeline as Stable Diffusion 1.5 is, of a few thousand weights; return its folder.

    It knows the letter `a`, and draws 8 x 8 pixels from a latent of 4 x 4.
    """
    import diffusers
    import transformers

    torch.manual_seed(seed)
    words = {"a</w>": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}
    (folder / "tokenizer").mkdir(parents=True)
    write_json(folder / "tokenizer" / "vocab.json", words)
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    tokenizer.model_max_length = 8
    text = transformers.CLIPTextConfig(
        vocab_size=3,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=4,
        block_out_channels=(4, 8),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=2,
        norm_num_groups=2,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4, 4),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=2,
        latent_channels=4,
        sample_size=8,
    )
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=transformers.CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=diffusers.DDIMScheduler(beta_schedule="scaled_linear"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder
