"""Settings of the configuration that change what the weights mean."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from tsugiki.merge.language_settings import has_vision
from tsugiki.parents.fault import Fault
from tsugiki.parents.model import Model, understood

TRAINING = {
    "_name_or_path",
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "dtype",
    "embd_pdrop",
    "hidden_dropout",
    "initializer_range",
    "pretraining_tp",
    "resid_pdrop",
    "torch_dtype",
    "transformers_version",
    "use_cache",
}
"""No influence on what a merged model computes."""
ELSEWHERE = {"vocab_size", "quantization_config"}
"""Checked with the embeddings and the numbers."""
CHOICES = {"max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id"}
"""May differ: the merged model takes the value of the model that gives its configuration."""


def check_settings(model: Model) -> Iterator[Fault]:
    """Transformers can make a model from the configuration."""
    if not model.config or model.trusted:
        return
    try:
        understood(model.config)
    except (ValueError, StrictDataclassError) as error:
        own_code = "auto_map" in model.config
        yield Fault(
            f"transformers cannot make a model from the configuration of `{model.name}`",
            f"{model.where}, config.json",
            got=str(error).splitlines()[0],
            fix="set trust_remote_code for this parent, if you trust the code that comes with it"
            if own_code
            else "correct its config.json, or install a newer transformers",
        )


def check_architecture(
    reference: Model, other: Model, accepted: Collection[str] = ()
) -> Iterator[Fault]:
    """Parents agree on every setting that their weights depend on.

    Args:
        reference: The base, or the first parent.
        other: A model that is merged with it.
        accepted: Settings that may differ, as the user wishes.
    """
    for key, mine, theirs in _differences(reference, other):
        if _last(key) not in CHOICES and key not in accepted:
            yield Fault(
                f"`{reference.name}` and `{other.name}` differ in {key}",
                f"config.json of {reference.where} and {other.where}",
                expected=f"one value; `{reference.name}` has {mine}",
                got=f"`{other.name}` has {theirs}",
                fix="merge models that were fine-tuned from the same base",
            )


def note_choices(
    reference: Model, other: Model, owner: str, accepted: Collection[str] = ()
) -> Iterator[str]:
    """Say which value the merged model gets, where the models may differ.

    Args:
        reference: The base, or the first parent.
        other: A model that is merged with it.
        owner: Name of the model whose configuration the merged model gets.
        accepted: Settings that may differ, as the user wishes.
    """
    for key, mine, theirs in _differences(reference, other):
        if _last(key) in CHOICES or key in accepted:
            yield (
                f"{key}: {reference.name} has {mine}, {other.name} has {theirs}; "
                f"the merged model gets that of {owner}"
            )


def _differences(reference: Model, other: Model) -> Iterator[tuple[str, Any, Any]]:
    if not reference.config or not other.config or reference.config == other.config:
        return
    mine, theirs = reference.settings, other.settings
    if has_vision(reference.config) or has_vision(other.config):
        mine, theirs = reference.language_settings, other.language_settings
    for key in sorted(mine.keys() | theirs.keys()):
        if _last(key) not in TRAINING | ELSEWHERE and mine.get(key) != theirs.get(key):
            yield key, mine.get(key), theirs.get(key)


def _last(key: str) -> str:
    return key.rpartition(".")[2]
