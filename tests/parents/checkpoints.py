"""Tiny llama checkpoints, written file by file, so that a test can break any part of one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

VOCABULARY = ("<unk>", "<s>", "</s>", *(f"w{index}" for index in range(61)))
"""64 tokens."""

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "dtype": "float32",
}


def llama_shapes(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors that a llama checkpoint stores."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    keys = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        yield f"{at}.self_attn.q_proj.weight", (hidden, hidden)
        yield f"{at}.self_attn.k_proj.weight", (keys, hidden)
        yield f"{at}.self_attn.v_proj.weight", (keys, hidden)
        yield f"{at}.self_attn.o_proj.weight", (hidden, hidden)
        yield f"{at}.mlp.gate_proj.weight", (inner, hidden)
        yield f"{at}.mlp.up_proj.weight", (inner, hidden)
        yield f"{at}.mlp.down_proj.weight", (hidden, inner)
        yield f"{at}.input_layernorm.weight", (hidden,)
        yield f"{at}.post_attention_layernorm.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], hidden)


def llama_tensors(
    config: dict[str, Any], seed: int = 0, dtype: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    """Random tensors of a llama checkpoint."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator).to(dtype)
        for name, shape in llama_shapes(config)
    }


def write_tokenizer(folder: Path, tokens: Sequence[str], template: str | None = None) -> None:
    """A word-level tokenizer; token i has id i."""
    model = WordLevel({token: index for index, token in enumerate(tokens)}, unk_token=tokens[0])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)


def write_llama(
    folder: Path,
    *,
    seed: int = 0,
    tokens: Sequence[str] = VOCABULARY,
    template: str | None = None,
    dtype: torch.dtype = torch.float32,
    drop: Sequence[str] = (),
    extra: dict[str, torch.Tensor] | None = None,
    **changes: Any,
) -> Path:
    """Write a checkpoint that differs from `CONFIG` by `changes`; return its folder.

    Args:
        folder: Where; made if absent.
        seed: Of its weights.
        tokens: Its vocabulary.
        template: Its chat template.
        dtype: Of its weights.
        drop: Tensors that are left out.
        extra: Tensors that are added or replaced.
        changes: Entries of config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = CONFIG | changes
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder, tokens, template)
    tensors = llama_tensors(config, seed, dtype) | (extra or {})
    for name in drop:
        del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def shard(folder: Path, shards: int = 2) -> Path:
    """Split a checkpoint's one file into shards with an index."""
    whole = folder / "model.safetensors"
    tensors = load_file(whole)
    names = sorted(tensors)
    weight_map = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = names[number::shards]
        (folder / file).write_bytes(save({name: tensors[name] for name in part}, {"format": "pt"}))
        weight_map |= dict.fromkeys(part, file)
    whole.unlink()
    size = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a checkpoint, to be pushed to a stand-in of the Hub."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
