"""An image generator as functions see it: a pipeline of diffusers, some of whose components are merged."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tsugiki.evaluate.language_model import ForwardClock
from tsugiki.evaluate.thinking import Thought
from tsugiki.models.kinds.diffusion import DENOISERS, DIFFUSION


class ImageGenerator:
    """A pipeline in which the weights of components are replaced between candidates."""

    def __init__(self, pipeline: Any, merged: Collection[str], device: torch.device) -> None:
        self.model = pipeline
        self.device = device
        self.weights = nn.ModuleDict({name: getattr(pipeline, name) for name in sorted(merged)})
        """What takes a candidate's weights: the merged components, by name."""
        denoiser = next(name for name in (*DENOISERS, *self.weights) if name in self.weights)
        self.clock: Any = ForwardClock(self.weights[denoiser], lambda output: output[0], "outputs")
        self.tokenizer: Any = None
        self.cut: set[tuple[str, bool]] = set()
        self.thoughts: dict[Hashable, Thought] = {}


def open_generator(
    folder: Path, merged: Collection[str], dtype: torch.dtype, device: torch.device
) -> ImageGenerator:
    """Load a pipeline, without code of the model's own."""
    from diffusers.utils import logging

    logging.disable_progress_bar()
    pipeline = DIFFUSION.loader().from_pretrained(folder, dtype=dtype, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    for component in pipeline.components.values():
        if isinstance(component, nn.Module):
            component.eval().requires_grad_(requires_grad=False)
    return ImageGenerator(pipeline.to(device), merged, device)
