"""Writes `peft/`: tiny adapters made by peft, and what its `merge_and_unload` makes of them.

Run by hand, in an environment that has peft (the files there were made with 0.21.2):
``python -m tests.parents.prepare.make_peft_cases``. peft is not needed to run tsugiki or its tests.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

HERE = Path(__file__).parent / "peft"
LLAMA = {
    "vocab_size": 12,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 16,
}
BASES = {
    "llama": LlamaConfig(**LLAMA),
    "llama-biased": LlamaConfig(**LLAMA, attention_bias=True),
    "llama-tied": LlamaConfig(**LLAMA, tie_word_embeddings=True),
    "gpt2": GPT2Config(vocab_size=12, n_embd=8, n_layer=1, n_head=2, n_positions=16),
}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("llama", {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"]}),
    "rslora": ("llama", {"r": 4, "lora_alpha": 6, "use_rslora": True, "target_modules": LINEAR}),
    "patterns": (
        "llama",
        {
            "r": 4,
            "lora_alpha": 6,
            "target_modules": LINEAR,
            "rank_pattern": {"layers.1.mlp.up_proj": 2, "q_proj": 3},
            "alpha_pattern": {"down_proj": 9, "model.layers.0.self_attn.k_proj": 1},
        },
    ),
    "dora": ("llama", {"r": 2, "lora_alpha": 3, "use_dora": True, "target_modules": LINEAR}),
    "embeddings": (
        "llama",
        {"r": 2, "lora_alpha": 3, "target_modules": ["embed_tokens", "lm_head"]},
    ),
    "dora-embeddings": (
        "llama",
        {"r": 2, "lora_alpha": 3, "use_dora": True, "target_modules": ["embed_tokens", "q_proj"]},
    ),
    "saved-modules": (
        "llama",
        {
            "r": 2,
            "lora_alpha": 3,
            "target_modules": ["q_proj"],
            "modules_to_save": ["embed_tokens", "lm_head", "norm"],
        },
    ),
    "biases": (
        "llama-biased",
        {"r": 2, "lora_alpha": 3, "bias": "all", "target_modules": ["q_proj"]},
    ),
    "lora-bias": (
        "llama-biased",
        {"r": 2, "lora_alpha": 3, "lora_bias": True, "target_modules": ["q_proj", "v_proj"]},
    ),
    "tokens": (
        "llama",
        {"r": 2, "lora_alpha": 3, "target_modules": ["q_proj"], "trainable_token_indices": [7, 3]},
    ),
    "tokens-of-modules": (
        "llama",
        {
            "r": 2,
            "lora_alpha": 3,
            "target_modules": ["q_proj"],
            "trainable_token_indices": {"embed_tokens": [1, 11], "lm_head": [4, 2, 11]},
        },
    ),
    "tokens-tied": (
        "llama-tied",
        {"r": 2, "lora_alpha": 3, "target_modules": ["q_proj"], "trainable_token_indices": [7, 3]},
    ),
    "tokens-and-embeddings": (
        "llama-tied",
        {"r": 2, "lora_alpha": 3, "target_modules": ["q_proj"], "trainable_token_indices": [5]},
    ),
    "transposed": ("gpt2", {"r": 2, "lora_alpha": 3, "target_modules": ["c_attn", "c_fc"]}),
    "dora-transposed": (
        "gpt2",
        {"r": 2, "lora_alpha": 3, "use_dora": True, "target_modules": ["c_attn", "c_proj"]},
    ),
}


def base(name: str) -> torch.nn.Module:
    """A base with seeded weights; biases are not zero."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(BASES[name])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


def main() -> None:
    """Write all bases and cases."""
    shutil.rmtree(HERE, ignore_errors=True)
    for name in BASES:
        base(name).save_pretrained(HERE / "bases" / name)
        (HERE / "bases" / name / "generation_config.json").unlink()
    for case, (name, settings) in CASES.items():
        torch.manual_seed(2)
        model = get_peft_model(base(name), LoraConfig(task_type="CAUSAL_LM", **settings))
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_magnitude" in key:
                    parameter.copy_(torch.rand_like(parameter) + 0.5)
                elif parameter.requires_grad:
                    parameter.copy_(torch.randn_like(parameter) * 0.3)
        # as where embeddings were resized, which peft finds out from a base on disk
        whole: Any = True if case == "tokens-and-embeddings" else "auto"
        model.save_pretrained(HERE / case, save_embedding_layers=whole)
        (HERE / case / "README.md").unlink()
        (HERE / case / "base.txt").write_text(f"{name}\n")
        merged = model.merge_and_unload().state_dict()
        if merged.get("lm_head.weight") is merged.get("transformer.wte.weight"):
            merged.pop("lm_head.weight", None)
        merged = {key: value.contiguous().clone() for key, value in merged.items()}
        save_file(merged, HERE / case / "merged.safetensors")


if __name__ == "__main__":
    main()
