"""Memory for batches of one shape, and the step that decodes a token of each row in it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, StaticLayer

LENGTHS = 128
"""Lengths are multiples of this, so that batches have few shapes."""
ATTENTION = {"full_attention", "sliding_attention"}
"""Kinds of layers that keep keys and values; others keep states, which are not seen to here."""
CHANGING = {"dynamic", "longrope"}
"""Kinds of rotary embeddings that change with the length of a text."""

Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Records a function without arguments; returns what repeats it."""


class NotCapturedError(Exception):
    """A model cannot be decoded in fixed shapes."""


class FixedShape:
    """One shape of batch.

    Args:
        model: A causal language model of transformers.
        rows: Number of prompts.
        length: Most tokens of a prompt and its answer.
        capture: Records the step.

    Raises:
        NotCapturedError: what was recorded is not the step.
    """

    def __init__(self, model: Any, rows: int, length: int, capture: Capture) -> None:
        self.rows, self.length = rows, length
        self._model = model
        config = model.config.get_text_config(decoder=True)
        self._layers = [StaticLayer(max_cache_len=length) for _ in range(config.num_hidden_layers)]
        self._cache = Cache(layers=self._layers)
        known = inspect.signature(model.forward).parameters
        # transformers is about to change the name
        self._keeping = {"cache" if "cache" in known else "past_key_values": self._cache}
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        device = model.device
        self._mask = torch.ones((rows, length), dtype=torch.long, device=device)
        self._token = torch.zeros((rows, 1), dtype=torch.long, device=device)
        self._position = torch.zeros((rows, 1), dtype=torch.long, device=device)
        self._written = torch.zeros(1, dtype=torch.long, device=device)
        self.answers = torch.zeros((rows, length), dtype=torch.long, device=device)
        """Tokens of the answers, (rows, length)."""
        self.finite = torch.ones((), dtype=torch.bool, device=device)
        """Whether all logits of the steps were finite."""
        self.step = capture(self._step)
        """Decodes one more token of each row."""
        taken, repeated = self._after(self._step), self._after(self.step)
        if not torch.equal(taken, repeated):
            raise NotCapturedError("a repeated step is not the step")

    def begin(self, context: Tensor, mask: Tensor) -> None:
        """Read the prompts, (rows, tokens), padded on the left, and decode the first tokens."""
        self._cache.reset()  # masked values must be finite, too: zero times NaN is NaN
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        output = self._model(
            input_ids=context,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            **self._last_only,
            **self._keeping,
        )
        self._mask.fill_(1)
        self._mask[:, : context.shape[1]] = mask
        self.finite.fill_(value=True)
        self._written.zero_()
        self._take(output.logits)
        self._position.copy_(positions[:, -1:] + 1)

    def go_on_from(self, other: FixedShape) -> None:
        """Take over the batch of a shorter shape, which is full."""
        self._cache.reset()
        for layer, full in zip(self._layers, other._layers, strict=True):
            if full.is_initialized:  # some architectures share keys among layers
                layer.keys[:, :, : other.length] = full.keys
                layer.values[:, :, : other.length] = full.values
            layer.cumulative_length.copy_(full.cumulative_length)
        self._mask.fill_(1)
        self._mask[:, : other.length] = other._mask
        self.answers[:, : other.length] = other.answers
        self.finite.copy_(other.finite)
        for name in ("_token", "_position", "_written"):
            getattr(self, name).copy_(getattr(other, name))

    def _after(self, step: Callable[[], None]) -> Tensor:
        """What a step makes of an empty batch: the tokens, and how many."""
        self._cache.reset()
        for state in (self._token, self._position, self._written):
            state.zero_()
        step()
        return torch.cat([self._token[:, 0], self._written])

    def _step(self) -> None:
        # not the model itself: its hooks are for passes that are not captured
        output = self._model.forward(
            input_ids=self._token,
            attention_mask=self._mask,
            position_ids=self._position,
            use_cache=True,
            **self._keeping,
        )
        self.finite.logical_and_(torch.isfinite(output.logits).all())
        self._take(output.logits)
        self._position.add_(1)

    def _take(self, logits: Tensor) -> None:
        self._token.copy_(logits[:, -1].argmax(-1, keepdim=True))
        self.answers.index_copy_(1, self._written, self._token)
        self._written.add_(1)


def require_capturable(model: Any) -> None:
    """Check that a model asks the GPU nothing in a step, and keeps keys and values alone.

    Raises:
        NotCapturedError: transformers does not say so of this architecture.
    """
    if not getattr(model, "_can_compile_fullgraph", False):
        raise NotCapturedError(f"{type(model).__name__} cannot be captured")
    config = model.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ()) - ATTENTION
    if kinds:
        raise NotCapturedError(f"layers of kind {', '.join(sorted(kinds))}")
    rotary = getattr(config, "rope_parameters", None) or {}
    of_layers = [one for one in rotary.values() if isinstance(one, Mapping)]
    if changing := {str(one.get("rope_type")) for one in (rotary, *of_layers)} & CHANGING:
        raise NotCapturedError(f"rotary embeddings of kind {', '.join(sorted(changing))}")
