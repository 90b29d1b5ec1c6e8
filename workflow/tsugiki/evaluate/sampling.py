"""Answers that are sampled: each token by a number that follows from document and answer alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import transformers

from tsugiki import keyed

SETTINGS = ("temperature", "top_k", "top_p")
"""What may be said of how answers are sampled, by transformers' and lm-eval's names."""
OTHERS = (
    *("min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff", "num_beams", "seed"),
    *("num_return_sequences", "penalty_alpha", "dola_layers"),
)
"""Settings of sampling and of search that transformers has besides."""


class Draw(str):
    """A prompt with the number of the sampled answer that is asked for.

    It is a str, and equal to a plain string of the same text, so that lm-eval handles it like any prompt.

    Args:
        text: The prompt.
        document: Digest of the document.
        number: Which of the answers, from 0.
    """

    __slots__ = ("document", "number")
    document: str
    number: int

    def __new__(cls, text: str, document: str = "", number: int = 0) -> Self:
        """A text that remembers what it is of."""
        made = super().__new__(cls, text)
        made.document, made.number = document, number
        return made

    @property
    def seed(self) -> int:
        """A seed of 63 bits, equal for all candidates (common random numbers), which makes differences less noisy."""
        return keyed.key64("answer", self.document, self.number) >> 1


class Request(NamedTuple):
    """All that lm-eval's models look at in a request."""

    args: tuple[Any, ...]
    task_name: str | None = None


def numbered(requests: Iterable[Any]) -> Iterator[Any]:
    """Requests, where those that lm-eval repeats for sampled answers say which answer they are for."""
    before: Counter[int] = Counter()
    for request in requests:
        prompt, *settings = request.args
        if isinstance(prompt, Draw):
            number = before[id(request)]
            before[id(request)] += 1
            yield Request((Draw(prompt, prompt.document, number), *settings))
        else:
            yield request


def key_of(prompt: str) -> str | tuple[str, int]:
    """What tells the answers to prompts apart: the prompt, and of sampled ones the number."""
    return (str(prompt), prompt.number) if isinstance(prompt, Draw) else prompt


def samples(settings: Mapping[str, Any]) -> bool:
    """Whether lm-eval's settings of generation ask for answers that depend on chance."""
    asked = settings.get("do_sample")
    return bool(asked) or (asked is None and float(settings.get("temperature") or 0.0) > 0.0)


class KeyedSampling(transformers.LogitsProcessor):  # type: ignore[misc]
    """Samples from a model's distribution by numbers that are drawn beforehand, for each row its own.

    Each token is the inverse of the cumulative distribution at a uniform number, so that the choice is
    exactly that of sampling, depends on no other row and no global state, and changes with the last bits of
    logits in rare cases only. Of the chosen token alone the score is finite, for a greedy search to take.

    Args:
        draws: The prompts of the batch, in the order of its rows.
        length: Tokens of each prompt, those that fill it up included.
        most: Most tokens of an answer.
        settings: `temperature` (1 if absent), `top_k` and `top_p` (all tokens if absent), applied in this order.
    """

    def __init__(
        self, draws: Sequence[Draw], length: int, most: int, settings: Mapping[str, Any]
    ) -> None:
        self._length = length
        rows = [keyed.generator("answer", one.document, one.number).random(most) for one in draws]
        self._numbers = torch.from_numpy(np.stack(rows))
        self._warp = transformers.LogitsProcessorList()
        if settings.get("temperature") is not None:
            self._warp.append(transformers.TemperatureLogitsWarper(float(settings["temperature"])))
        if int(settings.get("top_k") or 0) > 0:
            self._warp.append(transformers.TopKLogitsWarper(int(settings["top_k"])))
        if float(settings.get("top_p") or 1.0) < 1.0:
            self._warp.append(transformers.TopPLogitsWarper(float(settings["top_p"])))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of shape (rows, vocabulary), 0 for the chosen tokens and minus infinity for all others."""
        place = input_ids.shape[1] - self._length
        at = self._numbers[:, place : place + 1].to(scores.device)
        total = self._warp(input_ids, scores).double().softmax(dim=-1).cumsum(dim=-1)
        whole = total[:, -1:]
        below = torch.minimum(at * whole, torch.nextafter(whole, torch.zeros_like(whole)))
        chosen = torch.searchsorted(total, below, right=True).clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)
