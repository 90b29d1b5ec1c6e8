"""Settings of the configuration that change what the weights mean."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from tsugiki.models.fault import Fault
from tsugiki.models.language_settings import has_vision
from tsugiki.models.model import Model, understood

NEVER_ACCEPTED = {
    "architectures",
    "head_dim",
    "hidden_size",
    "intermediate_size",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "tie_word_embeddings",
    "vocab_size",
}
"""Settings that decide which tensors there are, or which numbers in them belong together."""

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

NAME_OF_BASE = "base_model_name_or_path"
"""Of an adapter: accepted like the others, but no setting of a model."""


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
        never = _last(key) in NEVER_ACCEPTED
        if _last(key) not in CHOICES and (never or not _is_accepted(key, accepted)):
            yield Fault(
                f"`{reference.name}` and `{other.name}` differ in {key}",
                f"config.json of {reference.where} and {other.where}",
                expected=f"one value; `{reference.name}` has {mine}",
                got=f"`{other.name}` has {theirs}",
                fix="merge models that were fine-tuned from the same base"
                if never
                else "merge models that were fine-tuned from the same base, or take the value of "
                f"the tokenizer's model for all: accept_differences: [{_last(key)}] in a run's "
                f"configuration, --accept-differences {_last(key)} for `tsugiki merge`",
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
        if _last(key) in CHOICES or _is_accepted(key, accepted):
            yield (
                f"{key}: {reference.name} has {mine}, {other.name} has {theirs}; "
                f"the merged model gets that of {owner}"
            )


def note_accepted(accepted: Collection[str], models: Sequence[Model]) -> Iterator[str]:
    """Say which accepted differences are none."""
    pairs = [(models[0], other) for other in models[1:]]
    found = {key for pair in pairs for key, _, _ in _differences(*pair)}
    for key in accepted:
        if key != NAME_OF_BASE and not any(_is_accepted(one, [key]) for one in found):
            yield f"accept_differences: the models do not differ in {key}"


def _is_accepted(key: str, accepted: Collection[str]) -> bool:
    """Whether a setting is named, with or without the sections that it is in."""
    return key in accepted or _last(key) in accepted


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
