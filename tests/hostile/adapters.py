"""One builder per fault that people hit with adapters and vocabularies.

`lora` is an adapter of the base `b`, a llama with 64 tokens.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.hostile.builders import pair
from tests.parents.checkpoints import VOCABULARY, write_llama
from tsugiki.config.run import RunConfig

QUERY = "base_model.model.model.layers.0.self_attn.q_proj"
CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "base_model_name_or_path": "b",
    "r": 4,
    "lora_alpha": 8,
    "init_lora_weights": True,
}


def write_adapter(
    folder: Path, tensors: dict[str, torch.Tensor] | None = None, **changes: Any
) -> None:
    """A LoRA of one query projection that fits, with other tensors and settings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | changes))
    fitting = {
        f"{QUERY}.lora_A.weight": torch.ones(4, 16),
        f"{QUERY}.lora_B.weight": torch.ones(16, 4),
    }
    save_file(fitting if tensors is None else tensors, folder / "adapter_model.safetensors")


def with_adapter(folder: Path, **keys: Any) -> RunConfig:
    """A merge of the adapter folder/lora, of the base folder/b, with that base."""
    if not (folder / "b").exists():
        write_llama(folder / "b")
    config = pair(folder).model_dump(mode="json")
    config["parents"]["a"] = {"path": str(folder / "lora"), "adapter_of": "b"}
    return RunConfig.model_validate(config | keys)


def sound_adapter(folder: Path) -> RunConfig:
    """One that fits."""
    write_adapter(folder / "lora")
    return with_adapter(folder)


def adapter_of_a_wider_base(folder: Path) -> RunConfig:
    """A is (4, 32): the base that it was trained on had 32 inputs."""
    a, b = torch.ones(4, 32), torch.ones(32, 4)
    write_adapter(folder / "lora", {f"{QUERY}.lora_A.weight": a, f"{QUERY}.lora_B.weight": b})
    return with_adapter(folder)


def adapter_of_a_deeper_base(folder: Path) -> RunConfig:
    """It changes layer 30."""
    deep = QUERY.replace(".0.", ".30.")
    a, b = torch.ones(4, 16), torch.ones(16, 4)
    write_adapter(folder / "lora", {f"{deep}.lora_A.weight": a, f"{deep}.lora_B.weight": b})
    return with_adapter(folder)


def adapter_with_another_rank(folder: Path) -> RunConfig:
    """Its settings say r = 8, its tensors 4."""
    write_adapter(folder / "lora", r=8)
    return with_adapter(folder)


def half_an_adapter(folder: Path) -> RunConfig:
    """A without B."""
    write_adapter(folder / "lora", {f"{QUERY}.lora_A.weight": torch.ones(4, 16)})
    return with_adapter(folder)


def quantised_adapter(folder: Path) -> RunConfig:
    """Its tensors are codes."""
    a, b = (torch.ones(shape, dtype=torch.int8) for shape in ((4, 16), (16, 4)))
    write_adapter(folder / "lora", {f"{QUERY}.lora_A.weight": a, f"{QUERY}.lora_B.weight": b})
    return with_adapter(folder)


def adapter_of_a_quantised_base(folder: Path) -> RunConfig:
    """The base that is named is packed."""
    write_adapter(folder / "lora")
    write_llama(folder / "b", quantization_config={"quant_method": "bitsandbytes"})
    return with_adapter(folder)


def adapter_of_another_kind(folder: Path) -> RunConfig:
    """Not LoRA."""
    write_adapter(folder / "lora", peft_type="IA3")
    return with_adapter(folder)


def adapter_with_unknown_features(folder: Path) -> RunConfig:
    """Layers are repeated, and the base's weights were changed at the start."""
    write_adapter(folder / "lora", layer_replication=[[0, 2]], init_lora_weights="pissa")
    return with_adapter(folder)


def adapter_as_pickle(folder: Path) -> RunConfig:
    """adapter_model.bin alone."""
    write_adapter(folder / "lora")
    (folder / "lora/adapter_model.safetensors").rename(folder / "lora/adapter_model.bin")
    return with_adapter(folder)


def adapter_that_is_a_model(folder: Path) -> RunConfig:
    """A whole model that is called an adapter."""
    write_llama(folder / "lora")
    return with_adapter(folder)


def broken_adapter_config(folder: Path) -> RunConfig:
    """adapter_config.json is no JSON."""
    write_adapter(folder / "lora")
    (folder / "lora/adapter_config.json").write_text("{")
    return with_adapter(folder)


def adapter_that_unties(folder: Path) -> RunConfig:
    """The base ties its head, and the adapter changes the embeddings alone."""
    write_llama(folder / "b", tie_word_embeddings=True)
    name = "base_model.model.model.embed_tokens"
    a, b = torch.ones(4, 64), torch.ones(16, 4)
    tensors = {f"{name}.lora_embedding_A": a, f"{name}.lora_embedding_B": b}
    write_adapter(folder / "lora", tensors)
    return with_adapter(folder)


def with_rows(folder: Path, rows: int, tokens: Any, *, head: bool = False) -> RunConfig:
    """An adapter that replaces rows of the embeddings, or of the head."""
    module = "lm_head" if head else "model.embed_tokens"
    name = f"base_model.model.{module}.token_adapter.trainable_tokens_delta"
    tensors = {name: torch.ones(rows, 16)}
    write_adapter(folder / "lora", tensors, trainable_token_indices=tokens)
    return with_adapter(folder)


def adapter_with_rows_beyond_the_base(folder: Path) -> RunConfig:
    """It was trained on a base with more tokens."""
    return with_rows(folder, 2, [3, 64])


def adapter_with_other_rows_than_it_says(folder: Path) -> RunConfig:
    """Three rows for two tokens."""
    return with_rows(folder, 3, [3, 4])


def adapter_that_unties_rows(folder: Path) -> RunConfig:
    """The base ties its head, and the adapter has rows of the head alone."""
    write_llama(folder / "b", tie_word_embeddings=True)
    return with_rows(folder, 2, {"lm_head": [3, 4]}, head=True)


def adapter_trained_elsewhere(folder: Path) -> RunConfig:
    """It fits, but names another base than the folder that it is merged into."""
    write_adapter(folder / "lora", base_model_name_or_path="someone/llama-bnb-4bit")
    return with_adapter(folder)


def adapter_of_a_copy(folder: Path) -> RunConfig:
    """The same, and the user says that the two are one."""
    write_adapter(folder / "lora", base_model_name_or_path="someone/llama-bnb-4bit")
    return with_adapter(folder, accept_differences=["base_model_name_or_path"])


def adapter_trained_in_another_folder(folder: Path) -> RunConfig:
    """The base had the same name on another machine, but for the case."""
    write_adapter(folder / "lora", base_model_name_or_path="/scratch/models/B/")
    return with_adapter(folder)


def adapter_that_does_not_say(folder: Path) -> RunConfig:
    """Its settings name no base."""
    write_adapter(folder / "lora", base_model_name_or_path=None)
    return with_adapter(folder)


def aligned(folder: Path, **vocabulary: Any) -> RunConfig:
    """The merge of a and b, with one vocabulary."""
    config = pair(folder).model_dump(mode="json")
    return RunConfig.model_validate(config | {"vocabulary": vocabulary})


def union_of_pieces(folder: Path) -> RunConfig:
    """The parent's words are no added tokens, and the base's tokenizer cannot reach them."""
    write_llama(folder / "a", tokens=(*VOCABULARY, "kana"), vocab_size=65)
    write_llama(folder / "b")
    return aligned(folder, kind="union", of="b")


def union_without_tokenizer(folder: Path) -> RunConfig:
    """The parent's tokenizer is a sentencepiece file alone."""
    write_llama(folder / "a", vocab_size=66)
    write_llama(folder / "b")
    (folder / "a/tokenizer.json").unlink()
    (folder / "a/tokenizer.model").write_bytes(b"\x0a")
    return aligned(folder, kind="union", of="b")


def rows_elsewhere(folder: Path) -> RunConfig:
    """Embeddings of another kind have a row for each token, too."""
    extra = {"model.embed_tokens_per_layer.weight": torch.zeros(64, 4)}
    for name, tokens in (("a", VOCABULARY), ("b", VOCABULARY[::-1])):
        write_llama(folder / name, tokens=tokens, extra=extra)
    return aligned(folder, kind="parent", of="a")


def union_that_works(folder: Path) -> RunConfig:
    """The parent has the base's tokens in another order, and its vocabulary is asked for."""
    write_llama(folder / "a", tokens=(*VOCABULARY[::-1], "kana"), vocab_size=65)
    write_llama(folder / "b")
    return aligned(folder, kind="union", of="a")
