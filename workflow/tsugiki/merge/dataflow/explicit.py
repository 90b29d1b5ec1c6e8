"""The explicit form of a path, as the paper writes it, and how far the folded model is from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tsugiki.contracts.data import Data
from tsugiki.contracts.recipe import DataflowRecipe
from tsugiki.keyed import generator
from tsugiki.merge.dataflow.live import LiveDataflow

TOKENS = 32
SEQUENCES = 2


class FoldingDifference(Data):
    """How the folded model's logits differ from those of the explicit form.

    Over random tokens, in the recipe's number format, so that its rounding is part of it.
    """

    recipe: str
    """Digest of the recipe."""
    positions: int
    """How many tokens were predicted."""
    relative: float
    """Root mean square of the difference, by the standard deviation of the explicit logits."""
    largest: float
    """Largest difference of a logit, in nats."""
    agreement: float
    """Share of positions at which both predict the same token."""


def is_scaled(recipe: DataflowRecipe) -> bool:
    """Whether any hidden state is scaled: if not, both forms are the same model."""
    return any(hop.scale != 1.0 for hop in recipe.path)


@contextmanager
def explicit(live: LiveDataflow, recipe: DataflowRecipe) -> Iterator[Any]:
    """The model whose hidden state is multiplied before each layer, as in arXiv 2403.13187, 3.2."""
    plain = recipe.model_copy(
        update={"path": tuple(hop.model_copy(update={"scale": 1.0}) for hop in recipe.path)}
    )
    model, _ = live.assemble(plain)
    layers = model.get_decoder().layers
    hooks = [
        layer.register_forward_pre_hook(_scaling(hop.scale), with_kwargs=True)
        for layer, hop in zip(layers, recipe.path, strict=True)
    ]
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()


def folding_difference(live: LiveDataflow, recipe: DataflowRecipe) -> FoldingDifference:
    """Compare the folded model with the explicit form; they differ by the norms' epsilon and by rounding.

    Raises:
        TsugikiError: as `LiveDataflow.assemble`.
    """
    model, _ = live.assemble(recipe)
    random = generator(0, "folding difference")
    ids = random.integers(model.config.vocab_size, size=(SEQUENCES, TOKENS))
    folded = _logits(model, ids)
    del model  # so that one of the two is in memory at a time
    with explicit(live, recipe) as reference:
        wanted = _logits(reference, ids)
    error = folded - wanted
    return FoldingDifference(
        recipe=recipe.digest,
        positions=ids.size,
        relative=float(error.square().mean().sqrt() / wanted.std()),
        largest=float(error.abs().max()),
        agreement=float((folded.argmax(-1) == wanted.argmax(-1)).double().mean()),
    )


def _scaling(scale: float) -> Any:
    def scaled(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if "hidden_states" in named:
            return arguments, named | {"hidden_states": named["hidden_states"] * scale}
        return (arguments[0] * scale, *arguments[1:]), named

    return scaled


@torch.no_grad()
def _logits(model: Any, ids: np.ndarray[Any, Any]) -> Tensor:
    tokens = torch.from_numpy(ids).to(next(model.parameters()).device)
    logits: Tensor = model(input_ids=tokens, use_cache=False).logits
    return logits.double().cpu()
