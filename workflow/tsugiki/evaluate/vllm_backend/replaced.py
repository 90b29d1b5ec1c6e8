"""Telling the weights of a model that nothing was put into.

vLLM says nothing about them: it would answer with numbers that it made up when it started.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from tsugiki.errors import ParentError
from tsugiki.evaluate.vllm_backend.packed import packed_are_finite


def poison(model: nn.Module) -> None:
    """Make every weight NaN."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.is_floating_point():
                weight.fill_(float("nan"))


@contextmanager
def unwritten_is_nan() -> Iterator[None]:
    """Let new memory be NaN until it is written to.

    vLLM puts the parts of a fused layer together in new memory, and copies that over the old weights.
    What is merged meanwhile has the same bits as else.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=before, warn_only=warn_only)


def require_replaced(model: nn.Module) -> None:
    """Check that no weight is poisoned any more.

    Once is enough: each candidate has the same tensors, all of them finite.

    Raises:
        ParentError: vLLM's model has weights that the merged model's tensors did not reach.
    """
    left = [
        name
        for name, weight in model.named_parameters()
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all())
    ]
    left += [
        f"{name}.weight" for name, layer in model.named_modules() if not packed_are_finite(layer)
    ]
    if left:
        raise ParentError(
            "vLLM's model has weights that the merged model does not have",
            where=type(model).__name__,
            got=", ".join(left[:5]),
            fix="set `evaluation.backend: transformers` for these models",
        )
