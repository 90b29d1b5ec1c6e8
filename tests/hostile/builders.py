"""One builder per fault that people hit with parents: each writes tiny models and gives a run.

`a` is the parent and `b` the base; both are llamas with 64 tokens where nothing else is said.
"""

from __future__ import annotations

import codecs
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.merge.vision_models import save_llava
from tests.parents.checkpoints import (
    CONFIG,
    VOCABULARY,
    llama_tensors,
    shard,
    write_llama,
    write_tokenizer,
)
from tests.parents.runs import run_of
from tsugiki.config.run import RunConfig

Builder = Callable[[Path], RunConfig]


def pair(folder: Path, **space: Any) -> RunConfig:
    """A merge of folder/a with the base folder/b."""
    parents = {"a": {"path": str(folder / "a")}, "b": {"path": str(folder / "b")}}
    return run_of(parents, base="b", method="task_arithmetic", **space)


def sound(folder: Path) -> RunConfig:
    """Two models that fit."""
    write_llama(folder / "a", seed=1)
    write_llama(folder / "b", seed=2)
    return pair(folder)


def more_rows_than_base(folder: Path) -> RunConfig:
    """The parent has two tokens, and rows, more than the base."""
    tokens = (*VOCABULARY, "<pad>", "<sep>")
    write_llama(folder / "a", tokens=tokens, vocab_size=66)
    write_llama(folder / "b")
    return pair(folder)


def padded_vocabulary(folder: Path) -> RunConfig:
    """152 rows, stated so, for 140 tokens."""
    tokens = tuple(f"t{index}" for index in range(140))
    for name in "ab":
        write_llama(folder / name, tokens=tokens, vocab_size=152)
    return pair(folder)


def token_beyond_rows(folder: Path) -> RunConfig:
    """A token with id 64 for 64 rows."""
    write_llama(folder / "a", tokens=(*VOCABULARY, "<beyond>"))
    write_llama(folder / "b")
    return pair(folder)


def added_token_beyond_rows(folder: Path) -> RunConfig:
    """The same, by an added token, as libraries append them."""
    sound(folder)
    path = folder / "a" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokenizer["added_tokens"] = [{"id": 64, "content": "<beyond>", "special": True, **flags}]
    path.write_text(json.dumps(tokenizer))
    return pair(folder)


def rows_not_as_configured(folder: Path) -> RunConfig:
    """`vocab_size` says 80, the embeddings have 64 rows."""
    sound(folder)
    change_config(folder / "a", vocab_size=80)
    change_config(folder / "b", vocab_size=80)
    return pair(folder)


def tied(folder: Path) -> RunConfig:
    """Tied, no head in the file."""
    for name in "ab":
        write_llama(folder / name, tie_word_embeddings=True)
    return pair(folder)


def tied_with_stored_head(folder: Path) -> RunConfig:
    """Tied, with a head in the file."""
    for name in "ab":
        head = torch.zeros(64, 16)
        write_llama(folder / name, tie_word_embeddings=True, extra={"lm_head.weight": head})
    return pair(folder)


def tied_with_head_of_another_shape(folder: Path) -> RunConfig:
    """Tied, with a head that cannot be the embeddings."""
    for name in "ab":
        head = torch.zeros(60, 16)
        write_llama(folder / name, tie_word_embeddings=True, extra={"lm_head.weight": head})
    return pair(folder)


def tied_base_untied_child(folder: Path) -> RunConfig:
    """The base ties its head, the parent has one of its own."""
    write_llama(folder / "a")
    write_llama(folder / "b", tie_word_embeddings=True)
    return pair(folder)


def headless(folder: Path) -> RunConfig:
    """Not tied, and no head in the file: a loader would make one up."""
    for name in "ab":
        write_llama(folder / name, drop=["lm_head.weight"])
    return pair(folder)


def adapter_only(folder: Path) -> RunConfig:
    """A LoRA adapter where a model is expected."""
    sound(folder)
    empty(folder / "a")
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "someone/base", "r": 4}
    (folder / "a" / "adapter_config.json").write_text(json.dumps(adapter))
    (folder / "a" / "adapter_model.safetensors").write_bytes(b"")
    return pair(folder)


def quantised_by_config(folder: Path) -> RunConfig:
    """A `quantization_config`, and packed weights."""
    sound(folder)
    name = "model.layers.0.self_attn.q_proj.weight"
    packed = torch.zeros(128, 1, dtype=torch.uint8)
    write_llama(
        folder / "a",
        extra={name: packed},
        quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True},
    )
    return pair(folder)


def quantised_in_silence(folder: Path) -> RunConfig:
    """Packed weights, without a word in the configuration."""
    sound(folder)
    packed = torch.zeros(16, 16, dtype=torch.int8)
    write_llama(folder / "a", extra={"model.layers.0.self_attn.q_proj.weight": packed})
    return pair(folder)


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self.path}",))


def hostile_pickle(folder: Path) -> RunConfig:
    """A `pytorch_model.bin` alone, which makes the file `executed` when it is opened."""
    sound(folder)
    (folder / "a" / "model.safetensors").unlink()
    bait = pickle.dumps(Touch(folder / "executed"))
    (folder / "a" / "pytorch_model.bin").write_bytes(bait)
    return pair(folder)


def benign_pickle(folder: Path) -> RunConfig:
    """A `pytorch_model.bin` alone, as old models are published."""
    sound(folder)
    (folder / "a" / "model.safetensors").unlink()
    torch.save(llama_tensors(CONFIG), folder / "a" / "pytorch_model.bin")
    return pair(folder)


def truncated(folder: Path) -> RunConfig:
    """The last 40 bytes are missing."""
    sound(folder)
    cut(folder / "a" / "model.safetensors", -40)
    return pair(folder)


def truncated_in_header(folder: Path) -> RunConfig:
    """The file ends inside its header."""
    sound(folder)
    cut(folder / "a" / "model.safetensors", 100)
    return pair(folder)


def not_safetensors(folder: Path) -> RunConfig:
    """A pointer of Git LFS where the weights should be."""
    sound(folder)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (folder / "a" / "model.safetensors").write_text(pointer)
    return pair(folder)


def missing_shard(folder: Path) -> RunConfig:
    """The index names a shard that is not there."""
    sound(folder)
    shard(folder / "a")
    (folder / "a" / "model-00002-of-00002.safetensors").unlink()
    return pair(folder)


def shard_outside(folder: Path) -> RunConfig:
    """The index points out of the folder, at a file that exists."""
    sound(folder)
    shard(folder / "a")
    moved = folder / "stolen.safetensors"
    (folder / "a" / "model-00002-of-00002.safetensors").rename(moved)
    path = folder / "a" / "model.safetensors.index.json"
    index = path.read_text().replace("model-00002-of-00002.safetensors", "../stolen.safetensors")
    path.write_text(index)
    return pair(folder)


def stray_whole_file(folder: Path) -> RunConfig:
    """A whole file is left beside an index and its shards."""
    sound(folder)
    shard(folder / "a")
    weights = (folder / "b" / "model.safetensors").read_bytes()
    (folder / "a" / "model.safetensors").write_bytes(weights)
    return pair(folder)


def tensor_in_two_shards(folder: Path) -> RunConfig:
    """The second shard holds another head than the one that the index means."""
    sound(folder)
    shard(folder / "a")
    path = folder / "a" / "model-00002-of-00002.safetensors"
    tensors = load_file(path)
    assert "lm_head.weight" not in tensors
    save_file({**tensors, "lm_head.weight": torch.full((64, 16), 7.0)}, path)
    return pair(folder)


def overlapping(folder: Path) -> RunConfig:
    """Two tensors have the same bytes, by the header."""
    sound(folder)
    path = folder / "a" / "model.safetensors"
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    one, two = (f"model.layers.0.mlp.{name}_proj.weight" for name in ("up", "gate"))
    header[one]["data_offsets"] = header[two]["data_offsets"]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    return pair(folder)


def tensor_missing_from_shard(folder: Path) -> RunConfig:
    """The index places a tensor in a shard that lacks it."""
    sound(folder)
    path = shard(folder / "a") / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["model.promised.weight"] = "model-00001-of-00002.safetensors"
    path.write_text(json.dumps(index))
    return pair(folder)


def broken_index(folder: Path) -> RunConfig:
    """An index that is no JSON."""
    sound(folder)
    (shard(folder / "a") / "model.safetensors.index.json").write_text("{")
    return pair(folder)


def other_rope_theta(folder: Path) -> RunConfig:
    """`rope_theta` differs."""
    write_llama(folder / "a", rope_theta=1_000_000.0)
    write_llama(folder / "b")
    return pair(folder)


def other_writers(folder: Path) -> RunConfig:
    """Entries of config.json of what trained, wrote or loads the models, as they stand on the Hub."""
    script = {"kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"}}
    write_llama(folder / "a", unsloth_version="2025.3.19", unsloth_fixed=True, use_cache=False)
    change_config(folder / "a", _attn_implementation_autoset=True, _name_or_path="someone/base")
    write_llama(folder / "b", **{"transformers.js_config": script})
    return pair(folder)


def other_context_length(folder: Path) -> RunConfig:
    """`max_position_embeddings` differs."""
    write_llama(folder / "a", max_position_embeddings=64)
    write_llama(folder / "b")
    return pair(folder)


def other_shapes(folder: Path) -> RunConfig:
    """Inner size, number of layers, and key heads differ."""
    write_llama(folder / "a", intermediate_size=48, num_hidden_layers=3, num_key_value_heads=4)
    write_llama(folder / "b")
    return pair(folder)


def undeclared_prefix(folder: Path) -> RunConfig:
    """One model has the other's tensors under `language_model.`, and a tensor more.

    Its configuration does not say that it is more than a language model.
    """
    write_llama(folder / "b")
    language = {
        f"language_model.{name}": tensor for name, tensor in llama_tensors(CONFIG, seed=1).items()
    }
    tower = {"vision_tower.embeddings.weight": torch.zeros(8, 8)}
    write_llama(folder / "a", drop=list(llama_tensors(CONFIG)), extra=language | tower)
    return pair(folder)


def vision_language_with_language(folder: Path, **space: Any) -> RunConfig:
    """A LLaVA whose language model is like the other model; which of them owns is not said."""
    write_llama(folder / "b")
    save_llava(folder / "a", **{key: CONFIG[key] for key in CONFIG.keys() - {"dtype"}})
    write_tokenizer(folder / "a", VOCABULARY)
    return pair(folder, **space)


def vision_language_that_owns(folder: Path) -> RunConfig:
    """The same, and the LLaVA gives everything that is not merged."""
    return vision_language_with_language(folder, tokenizer="a")


def mixed_formats(folder: Path) -> RunConfig:
    """A bf16 parent, a float32 base, bfloat16 asked for."""
    write_llama(folder / "a", dtype=torch.bfloat16)
    write_llama(folder / "b")
    return pair(folder, dtype="bfloat16")


def swapped_tokens(folder: Path) -> RunConfig:
    """As many rows, but two tokens have changed places."""
    tokens = list(VOCABULARY)
    tokens[10], tokens[11] = tokens[11], tokens[10]
    write_llama(folder / "a", tokens=tokens)
    write_llama(folder / "b")
    return pair(folder)


def one_id_two_tokens(folder: Path) -> RunConfig:
    """As many rows, but the last stands for different tokens."""
    write_llama(folder / "a", tokens=(*VOCABULARY[:-1], "<pad>"))
    write_llama(folder / "b", tokens=(*VOCABULARY[:-1], "<sep>"))
    return pair(folder)


def token_in_one_only(folder: Path) -> RunConfig:
    """A token that only the parent has; its row is padding in the base."""
    write_llama(folder / "a", tokens=(*VOCABULARY, "<pad>"), vocab_size=72)
    write_llama(folder / "b", vocab_size=72)
    return pair(folder)


def added_token_in_one_only(folder: Path) -> RunConfig:
    """The same with an added token, which can be added to the base's tokenizer, too."""
    for name in "ab":
        write_llama(folder / name, vocab_size=72)
    path = folder / "a" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["added_tokens"] = [{"id": 64, "content": "<|im_start|>"}]
    path.write_text(json.dumps(tokenizer))
    return pair(folder)


def template_in_one_only(folder: Path) -> RunConfig:
    """Only the parent has a chat template."""
    write_llama(folder / "a", template="{{ messages }}")
    write_llama(folder / "b")
    return pair(folder)


def broken_tokenizer(folder: Path) -> RunConfig:
    """A tokenizer.json that is no JSON."""
    sound(folder)
    (folder / "a" / "tokenizer.json").write_text("{")
    return pair(folder)


def byte_order_mark(folder: Path) -> RunConfig:
    """A config.json that an editor has saved anew, with a mark before its first character."""
    sound(folder)
    path = folder / "a" / "config.json"
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    return pair(folder)


def wide_characters(folder: Path) -> RunConfig:
    """A tokenizer_config.json in UTF-16."""
    sound(folder)
    path = folder / "a" / "tokenizer_config.json"
    path.write_text(path.read_text(), encoding="utf-16")
    return pair(folder)


def no_tokenizer(folder: Path) -> RunConfig:
    """The model whose tokenizer the merged model gets has none."""
    sound(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / "b" / name).unlink()
    return pair(folder)


def no_config(folder: Path) -> RunConfig:
    """No config.json."""
    sound(folder)
    (folder / "a" / "config.json").unlink()
    return pair(folder)


def broken_config(folder: Path) -> RunConfig:
    """A config.json that is no JSON."""
    sound(folder)
    (folder / "a" / "config.json").write_text("{")
    return pair(folder)


def unknown_architecture(folder: Path) -> RunConfig:
    """An architecture that needs modelling code of its own."""
    sound(folder)
    change_config(folder / "a", model_type="nobody", auto_map={"AutoConfig": "x.Y"})
    return pair(folder)


def empty_folder(folder: Path) -> RunConfig:
    """Nothing at all."""
    sound(folder)
    empty(folder / "a")
    return pair(folder)


def missing_folder(folder: Path) -> RunConfig:
    """Less than nothing."""
    sound(folder)
    return run_of({"a": {"path": str(folder / "nowhere")}, "b": {"path": str(folder / "b")}})


def change_config(folder: Path, **changes: Any) -> None:
    """Change entries of a config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(path: Path, end: int) -> None:
    """Keep a file's bytes up to `end`."""
    path.write_bytes(path.read_bytes()[:end])


def empty(folder: Path) -> None:
    """Remove all files of a folder."""
    for path in folder.iterdir():
        path.unlink()
