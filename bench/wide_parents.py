"""Models like the demo's, but of any width, with random weights: for how long things take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tsugiki.demo.specification import SHAPE
from tsugiki.demo.tokenizer import build_tokenizer
from tsugiki.demo.training import build_model

NAMES = ("base", "japanese", "maths")


def save_wide_parents(root: Path, width: int) -> dict[str, dict[str, str]]:
    """Save a base and two models near it; returns them as a configuration names them."""
    shape = replace(SHAPE, hidden=width, intermediate=width * SHAPE.intermediate // SHAPE.hidden)
    for index, name in enumerate(NAMES):
        folder = root / f"{name}-{width}"
        if folder.is_dir():
            continue
        model = build_model(shape, seed=1)
        torch.manual_seed(index)
        with torch.no_grad():
            for parameter in model.parameters() if index else ():
                parameter.add_(torch.randn_like(parameter), alpha=0.002)
        model.save_pretrained(folder)
        build_tokenizer().save_pretrained(folder)
    return {name: {"path": str((root / f"{name}-{width}").resolve())} for name in NAMES}
