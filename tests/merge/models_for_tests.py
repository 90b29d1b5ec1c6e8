"""Tiny real models, made anew for the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe

VOCABULARY = 40
CONFIGS = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config}


TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
"""Settings of a tiny language model."""


def save_model(
    folder: Path,
    *,
    kind: str = "llama",
    seed: int = 0,
    like: Path | None = None,
    dtype: torch.dtype = torch.float32,
    **config: Any,
) -> Path:
    """Save a random model with its tokenizer; `like` is a model that it is a small step from."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIGS[kind](**{**TEXT, **config}))
    if like is not None:
        start = AutoModelForCausalLM.from_pretrained(like, dtype=torch.float32).state_dict()
        with torch.no_grad():
            for name, values in model.state_dict().items():
                values.copy_(start[name] + 0.05 * torch.randn_like(values))
    model.to(dtype).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_trio(root: Path, **config: Any) -> dict[str, Path]:
    """Save a base and two models that are small steps from it; returns their folders by name."""
    base = save_model(root / "base", **config)
    steps = {
        name: save_model(root / name, seed=seed, like=base, **config)
        for seed, name in ((1, "a"), (2, "b"))
    }
    return {"base": base, **steps}


def save_tokenizer(folder: Path, template: str | None = None) -> None:
    """Save a tokenizer of whole words, `w0` and so on."""
    words = {f"w{index}": index for index in range(VOCABULARY)}
    words_alone = Tokenizer(WordLevel(words, unk_token="w0"))
    words_alone.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words_alone, eos_token="w1")
    if template is not None:
        tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def digest_of(name: str) -> str:
    """A stand-in for the digest of a model's files."""
    return name.encode().hex().ljust(64, "0")[:64]


def digests_of(folders: Mapping[str, Path]) -> dict[str, str]:
    """A digest for every model."""
    return {name: digest_of(name) for name in folders}


def recipe_of(
    method: str,
    parents: Sequence[str] = ("a", "b"),
    *,
    base: str | None = "base",
    values: Mapping[str, float | Sequence[float]] | None = None,
    digests: Mapping[str, str] | None = None,
    **fields: Any,
) -> Recipe:
    """A recipe with one value of each parameter for the whole model, or one for each parent."""

    def ref(name: str) -> ParentRef:
        return ParentRef(name=name, digest=(digests or {}).get(name, digest_of(name)))

    def parameter(value: float | Sequence[float]) -> Parameter:
        if isinstance(value, (int, float)):
            return Parameter(values={"*": {"model": value}})
        return Parameter(
            values={name: {"model": number} for name, number in zip(parents, value, strict=True)}
        )

    return Recipe(
        method=method,
        parents=tuple(ref(name) for name in parents),
        base=ref(base) if base else None,
        parameters={name: parameter(value) for name, value in (values or {}).items()},
        **{"owner": base or parents[0], "dtype": "float32", **fields},
    )
