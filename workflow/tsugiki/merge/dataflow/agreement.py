"""Whether the layers of several parents can stand in one model, with one configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tsugiki.errors import ParentError
from tsugiki.merge.checkpoint import Checkpoint
from tsugiki.merge.dataflow.architecture import Architecture

ANY = {
    "_name_or_path",
    "architectures",
    "attention_dropout",
    "auto_map",
    "bos_token_id",
    "dtype",
    "embd_pdrop",
    "eos_token_id",
    "hidden_dropout",
    "initializer_range",
    "max_position_embeddings",
    "max_window_layers",
    "num_hidden_layers",
    "pad_token_id",
    "pretraining_tp",
    "resid_pdrop",
    "tie_word_embeddings",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "vocab_size",
}
"""Settings that do not change what a layer computes; the model gets the owner's."""


def full_config(model: Checkpoint) -> dict[str, Any]:
    """A parent's configuration with transformers' defaults filled in."""
    from transformers import AutoConfig

    full: dict[str, Any] = AutoConfig.for_model(**model.config).to_dict()
    return full


def require_agreement(
    owner: Checkpoint,
    others: Sequence[Checkpoint],
    architecture: Architecture,
    configs: Mapping[str, Mapping[str, Any]],
) -> None:
    """Check that each parent's layers mean the same under the owner's configuration.

    Args:
        owner: The parent whose configuration the model gets.
        others: The other parents.
        architecture: Of the owner.
        configs: Each one's full configuration, by name.

    Raises:
        ParentError: a setting that layers depend on differs; all differences are listed.
    """
    faults = [
        f"{key}: {mine} / {theirs} ({owner.name} / {other.name})"
        for other in others
        for key, mine, theirs in _differences(configs[owner.name], configs[other.name])
        if key not in ANY and key not in architecture.per_layer
    ]
    if faults:
        raise ParentError(
            "the layers of these parents cannot stand in one model",
            where=", ".join(f"`{model.name}`" for model in (owner, *others)),
            expected="equal settings of everything that a layer depends on",
            got="\n    ".join(["", *faults]),
            fix="take layers from models that were fine-tuned from the same base",
        )


def _differences(
    mine: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted(mine.keys() | theirs.keys()):
        if mine.get(key) != theirs.get(key):
            yield key, mine.get(key), theirs.get(key)
