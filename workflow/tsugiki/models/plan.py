"""The declared set of output tensors: known before any work, and checked after it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tsugiki.errors import ParentError
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.language_settings import has_vision, language_config

DERIVED = re.compile(r"rotary_emb\.inv_freq$|\.attn\.(?:masked_)?bias$")
"""Buffers of old checkpoints that models compute from their configuration."""
HEAD = re.compile(r"(?:^|\.)(?:lm_head|embed_out)\.weight$")
EMBEDDINGS = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings)\.weight$")
CONFIG_KEYS = ("model_type", "num_attention_heads", "num_key_value_heads", "head_dim")
"""Settings that change what weights of equal shape mean."""
SHOWN = 20


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor of the merged model."""

    name: str
    """What methods, groups and masks know it as."""
    stored: str
    """Its name in the owner's files, and in those of the merged model."""
    shape: tuple[int, ...]
    merged: bool
    """Whether it is merged. If not, it is copied from the owner: whole numbers, which are equal in
    all models, and what is not part of the language model, such as a vision tower."""


@dataclass(frozen=True)
class Plan:
    """Every tensor of the merged model, by name."""

    tensors: tuple[PlannedTensor, ...]

    @property
    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(tensor.name for tensor in self.tensors)


def make_plan(models: Sequence[Checkpoint], owner: str | None = None) -> Plan:
    """Decide what tensors a merge of `models` (parents and base) has.

    Every tensor of every model is either planned, or derived from the configuration, or an output
    head that equals the embeddings it is tied to, or outside the language model. Of those outside,
    the owner's are copied and the others' are left.

    Args:
        models: Parents and base.
        owner: The model that gives everything which is not merged; the first one if absent.

    Raises:
        ParentError: the models do not have the same tensors and shapes (all differences are
            listed), differ in whole-number tensors, or store a head apart from the embeddings that
            their configuration ties it to.
    """
    headers = {model.name: _shapes(model) for model in models}
    _require_same(models, headers)
    first = next((model for model in models if model.name == owner), models[0])
    tensors = []
    for name in sorted(headers[first.name]):
        merged = all(model.headers[name].is_float for model in models)
        if not merged:
            _require_equal(models, name)
        stored = first.headers[name].stored
        tensors.append(PlannedTensor(name, stored, headers[first.name][name], merged))
    tensors += [
        PlannedTensor(name, name, header.shape, merged=False)
        for name, header in first.outside.items()
    ]
    return Plan(tuple(tensors))


def _shapes(model: Checkpoint) -> dict[str, tuple[int, ...]]:
    tied = _tied_head(model)
    return {
        name: header.shape
        for name, header in model.headers.items()
        if name != tied and not DERIVED.search(name)
    }


def _tied_head(model: Checkpoint) -> str | None:
    """Name of a stored head that is tied to the embeddings.

    Raises:
        ParentError: the two are tied, yet differ.
    """
    head = next((name for name in model.headers if HEAD.search(name)), None)
    embeddings = next((name for name in model.headers if EMBEDDINGS.search(name)), None)
    if head is None or embeddings is None or not _ties(model):
        return None
    if not torch.equal(model.tensor(head), model.tensor(embeddings)):
        raise ParentError(
            f"parent `{model.name}` ties its output head to its embeddings, but stores a "
            "different head",
            where=str(model.folder),
            expected=f"{head} equal to {embeddings}, or left out",
            got="different values, of which a loader would silently keep one",
            fix="set tie_word_embeddings to false in its config.json if the stored head is meant, "
            "or else save it again without the head",
        )
    return head


def _ties(model: Checkpoint) -> bool:
    declared = model.config.get("tie_word_embeddings")
    if declared is None:
        # Left out of config.json where it has the default, which depends on the architecture.
        from transformers import AutoConfig

        return bool(AutoConfig.for_model(**model.config).tie_word_embeddings)
    return bool(declared)


def _require_same(
    models: Sequence[Checkpoint], headers: Mapping[str, Mapping[str, tuple[int, ...]]]
) -> None:
    first = models[0]
    settings = _settings(models)
    faults: list[str] = []
    for other in models[1:]:
        pair = f"{first.name} / {other.name}"
        faults.extend(
            f"{key}: {mine} / {theirs} ({pair})"
            for key in CONFIG_KEYS
            if (mine := settings[first.name].get(key)) != (theirs := settings[other.name].get(key))
        )
        mine, theirs = headers[first.name], headers[other.name]
        for name in sorted(mine.keys() | theirs.keys()):
            a, b = mine.get(name), theirs.get(name)
            if a != b:
                faults.append(f"{name}: {_shape(a)} / {_shape(b)} ({pair})")
    if faults:
        more = len(faults) - SHOWN
        listed = faults[:SHOWN] + ([f"and {more} more"] if more > 0 else [])
        raise ParentError(
            "the models do not have the same architecture",
            where=", ".join(f"`{model.name}`" for model in models),
            expected="the same tensors with the same shapes in every parent and the base",
            got="\n    ".join(["", *listed]),
            fix="merge models that were fine-tuned from the same base; if only the embeddings "
            "differ in their rows, give the models one vocabulary first (`vocabulary` in a run's "
            "configuration)",
        )


def _settings(models: Sequence[Checkpoint]) -> Mapping[str, Mapping[str, Any]]:
    """What is compared: config.json as it stands, or of language models, defaults filled in.

    Beside a vision-language model, whose configuration often states little, only the latter can be
    compared.
    """
    if not any(has_vision(model.config) for model in models):
        return {model.name: model.config for model in models}
    return {model.name: language_config(model.config) for model in models}


def _shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))


def _require_equal(models: Sequence[Checkpoint], name: str) -> None:
    first = models[0]
    for other in models[1:]:
        if not torch.equal(first.tensor(name), other.tensor(name)):
            raise ParentError(
                "a tensor of whole numbers differs between the models, and cannot be averaged",
                where=f"tensor {name}",
                expected=f"equal values in `{first.name}` and `{other.name}`",
                got=f"{first.headers[name].dtype} and {other.headers[name].dtype}, unequal",
            )
