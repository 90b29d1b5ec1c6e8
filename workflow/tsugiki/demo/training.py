"""Train one of the demo's models: the same bytes whatever the number of cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tsugiki.demo.documents import Document, draw_documents
from tsugiki.demo.muon import Muon
from tsugiki.demo.specification import Schedule, Shape, Training
from tsugiki.demo.tokenizer import MAX_LENGTH, build_tokenizer
from tsugiki.keyed import generator

NOT_LEARNED = -100
"""Label of a token that the loss leaves out."""
SORTED_TOGETHER = 16
"""Batches whose documents are sorted by length, so that little of a batch is padding."""
FINAL_RATE_SHARE = 0.05
MAX_GRADIENT_NORM = 1.0

Encoded = tuple[list[int], list[int]]
"""Token ids, and the same ids or `NOT_LEARNED`."""
Batch = tuple[Mapping[str, torch.Tensor], torch.Tensor]
"""What a model's inner part is called with, by name, and the labels."""
Loss = Callable[[Any, Mapping[str, torch.Tensor], torch.Tensor], torch.Tensor]
"""Of a model, inputs and labels: a number."""
Progress = Callable[[int, float], None]
"""Called after a step with the number of steps done and the loss (nats per token)."""


def build_model(
    shape: Shape, seed: int, tokenizer: PreTrainedTokenizerFast | None = None
) -> LlamaForCausalLM:
    """A float32 llama with random weights that depend on `seed` and the tensors' names only.

    Without a tokenizer it is the text demo's.
    """
    tokenizer = tokenizer or build_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.blocks,
        intermediate_size=shape.intermediate,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config)
    draw_weights(model, shape.initial_deviation, seed)
    model.generation_config = greedy(tokenizer)
    return model


@torch.no_grad()
def draw_weights(module: torch.nn.Module, deviation: float, seed: int) -> None:
    """Draw each tensor of two or more dimensions from a normal distribution, by `seed` and its name."""
    for name, parameter in module.named_parameters():
        if parameter.ndim >= 2:
            normal = generator("demo-weights", seed, name).standard_normal(parameter.shape)
            parameter.copy_(torch.from_numpy(normal * deviation))


def greedy(tokenizer: PreTrainedTokenizerFast) -> GenerationConfig:
    """Generation without chance, with a tokenizer's special tokens."""
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )


def train(model: LlamaForCausalLM, training: Training, *, purpose: str, progress: Progress) -> None:
    """Train a float32 model on the CPU in place.

    All that is random depends on `purpose`; `progress` is told of every step.
    """
    tokenizer = build_tokenizer()
    documents = islice(
        draw_documents(generator("demo-text", purpose), training.mixture), training.documents
    )
    encoded = encode(list(documents), tokenizer)
    batches = draw_batches(encoded, training.batch, tokenizer.pad_token_id, purpose)
    inputs = (({"input_ids": ids}, labels) for ids, labels in batches)
    fit(model, inputs, training, progress=progress)


def fit(
    model: Any,
    batches: Iterable[Batch],
    schedule: Schedule,
    *,
    progress: Progress,
    loss_of: Loss | None = None,
) -> None:
    """Train in place the parameters that need gradients, on given batches.

    Args:
        model: Float32 model on the CPU.
        batches: At least as many as there are steps.
        schedule: Steps and learning rates.
        progress: Told of every step.
        loss_of: What is made small; if None, the cross-entropy of the learned tokens, of a model with an inner
            `model` and an `lm_head`.
    """
    loss_of = loss_of or _loss
    with one_deterministic_thread():
        optimizers = _optimizers(model, schedule)
        model.train()
        for step, (inputs, labels) in enumerate(islice(batches, schedule.steps)):
            _set_rates(optimizers, _rate_share(step, schedule))
            loss = loss_of(model, inputs, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
            for optimizer in optimizers:
                optimizer.step()
            model.zero_grad()
            progress(step + 1, loss.item())
        model.eval()


def encode(documents: Sequence[Document], tokenizer: PreTrainedTokenizerFast) -> list[Encoded]:
    """Turn documents into token ids and labels, with `<s>` before and `</s>` after each."""
    spans = [span for document in documents for span in document]
    pieces = iter(tokenizer([span.text for span in spans], add_special_tokens=False).input_ids)
    encoded = []
    for document in documents:
        ids = [tokenizer.bos_token_id]
        labels = [NOT_LEARNED]
        for span in document:
            piece = next(pieces)
            ids += piece
            labels += piece if span.learned else [NOT_LEARNED] * len(piece)
        end = tokenizer.eos_token_id
        encoded.append(([*ids, end], [*labels, end]))
    return encoded


def draw_batches(
    encoded: Sequence[Encoded], size: int, pad: int, purpose: str
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of documents of similar length, without end, in a new order in every round.

    Yields:
        Token ids and labels, each int64 of shape (size, longest document), padded on the right.
    """
    lengths = np.array([len(ids) for ids, _ in encoded])
    rng = generator("demo-batches", purpose)
    while True:
        order = rng.permutation(len(encoded))
        chosen = []
        for start in range(0, len(order), size * SORTED_TOGETHER):
            block = order[start : start + size * SORTED_TOGETHER]
            block = block[np.argsort(lengths[block], kind="stable")]
            chosen += [block[i : i + size] for i in range(0, len(block), size)]
        for index in rng.permutation(len(chosen)):
            yield padded([encoded[i] for i in chosen[index]], pad)


def padded(rows: Sequence[Encoded], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch: token ids and labels, each int64 of shape (rows, longest of them), padded on the right."""
    longest = max(len(ids) for ids, _ in rows)
    return (
        torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in rows]),
        torch.tensor([lab + [NOT_LEARNED] * (longest - len(lab)) for _, lab in rows]),
    )


def _loss(model: Any, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy (nats) of the learned tokens; the head runs on their positions only."""
    hidden = model.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
    following = labels[:, 1:]
    learned = following != NOT_LEARNED
    return functional.cross_entropy(model.lm_head(hidden[learned]), following[learned])


def _optimizers(model: Any, training: Schedule) -> list[torch.optim.Optimizer]:
    matrices, others, vectors = [], [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2:
            vectors.append(parameter)
        elif training.matrix_rate is not None and parameter.ndim == 2 and "layers" in name:
            matrices.append(parameter)
        else:
            others.append(parameter)
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [
                {"params": others, "weight_decay": training.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=training.rate,
            betas=(0.9, 0.98),
            fused=True,
        )
    ]
    if training.matrix_rate is not None:
        optimizers.append(
            Muon(matrices, lr=training.matrix_rate, weight_decay=training.weight_decay)
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def _rate_share(step: int, training: Schedule) -> float:
    """Share of the peak learning rate: a linear rise, then half a cosine."""
    rise = min(1.0, (step + 1) / training.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * step / training.steps))
    return rise * (FINAL_RATE_SHARE + (1 - FINAL_RATE_SHARE) * cosine)


def _set_rates(optimizers: Sequence[torch.optim.Optimizer], share: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share


@contextmanager
def one_deterministic_thread() -> Iterator[None]:
    """One thread, so that sums are formed in the same order whatever the machine's cores."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
