"""What config.json promises is compared with the files, as a loader would read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    DeepseekV3Config,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    MixtralConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3MoeConfig,
)

from tests.merge.vision_models import save_llava, save_qwen2_vl
from tests.parents.checkpoints import VOCABULARY, write_llama, write_tokenizer
from tsugiki.parents.preflight import preflight

from .runs import run_of

SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
EXPERTS = {"moe_intermediate_size": 8, "num_experts_per_tok": 2}
LATENT = {
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 4,
    "num_key_value_heads": 4,
}
Save = Callable[[Path], Path]


def saved(config: PreTrainedConfig) -> Save:
    """Writes a random model of a configuration, with a tokenizer."""

    def save(folder: Path) -> Path:
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        write_tokenizer(folder, VOCABULARY)
        return folder

    return save


GPT2 = GPT2Config(n_embd=16, n_layer=2, n_head=4, vocab_size=64, n_positions=64)
DEEPSEEK = DeepseekV3Config(**{**SIZES, **EXPERTS, **LATENT})
ARCHITECTURES: dict[str, Save] = {
    "llama": write_llama,
    "llama, tied": lambda folder: write_llama(folder, tie_word_embeddings=True),
    "qwen2": saved(Qwen2Config(**SIZES)),
    "gemma2": saved(Gemma2Config(**SIZES, head_dim=4)),
    "gpt2": saved(GPT2),
    "gpt-neox": saved(GPTNeoXConfig(**SIZES)),
    "mixtral": saved(MixtralConfig(**SIZES, num_local_experts=4)),
    "qwen3-moe": saved(Qwen3MoeConfig(**SIZES, **EXPERTS, num_experts=4)),
    "deepseek-v3": saved(DEEPSEEK),
    "llava": save_llava,
    "qwen2-vl": save_qwen2_vl,
}


def change_config(folder: Path, **changes: Any) -> None:
    """Set keys of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Store other tensors."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def faults(folder: Path, **parent: Any) -> str:
    """What preflight says of a model."""
    found = preflight(run_of({"a": {"path": str(folder), **parent}})).faults
    return "\n".join(map(str, found))


@pytest.mark.parametrize("save", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_a_whole_model_is_sound_and_one_without_a_tensor_is_not(tmp_path: Path, save: Save) -> None:
    """Whatever the library renames or fuses when it loads one."""
    folder = save(tmp_path / "a")
    assert faults(folder) == ""
    stored = load_file(folder / "model.safetensors")
    name = next(name for name in sorted(stored) if "norm" in name or "ln_1" in name)
    change_tensors(folder, lambda tensors: tensors.pop(name))
    text = faults(folder)
    assert "`a` lacks weights that its configuration promises" in text
    assert name.rpartition("layers.")[2] in text


@pytest.mark.parametrize("name", ["mixtral", "qwen3-moe", "deepseek-v3"])
def test_an_expert_that_is_not_there_is_missed(tmp_path: Path, name: str) -> None:
    """Although a library fuses the experts of a layer."""
    folder = ARCHITECTURES[name](tmp_path / "a")
    lost = [one for one in load_file(folder / "model.safetensors") if ".experts.3." in one]
    assert lost

    def lose(tensors: dict[str, torch.Tensor]) -> None:
        for one in lost:
            del tensors[one]

    change_tensors(folder, lose)
    assert "lacks weights" in faults(folder)


PROMISES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a third layer": ({"num_hidden_layers": 3}, ["model.layers.2.input_layernorm.weight"]),
    "biases of attention": ({"attention_bias": True}, ["layers.0.self_attn.k_proj.bias"]),
    "biases of the rest": ({"mlp_bias": True}, ["layers.0.mlp.down_proj.bias"]),
    "other sizes": ({"intermediate_size": 48}, ["model.layers.0.mlp.down_proj.weight"]),
}


@pytest.mark.parametrize(("changes", "words"), PROMISES.values(), ids=PROMISES.keys())
def test_what_is_promised_and_not_there_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    """A loader would fill it with random numbers."""
    folder = write_llama(tmp_path / "a")
    change_config(folder, **changes)
    text = faults(folder)
    for word in ["lacks weights", "random", *words]:
        assert word in text


def test_a_head_is_missed_in_whatever_generates(tmp_path: Path) -> None:
    """Also where the architecture has a name that ends otherwise, or that nobody knows."""
    folder = write_llama(
        tmp_path / "a", drop=["lm_head.weight"], architectures=["XForConditionalGeneration"]
    )
    assert "lm_head.weight" in faults(folder)
    folder = save_llava(tmp_path / "b")
    change_tensors(folder, lambda tensors: tensors.pop("lm_head.weight", None))
    change_tensors(folder, lambda tensors: tensors.pop("language_model.lm_head.weight", None))
    assert "lm_head.weight" in faults(folder)


def test_layers_beyond_those_that_are_stated_are_refused(tmp_path: Path) -> None:
    """A loader would leave them out."""
    folder = write_llama(tmp_path / "a")
    change_config(folder, num_hidden_layers=1)
    text = faults(folder)
    assert "layers beyond" in text
    assert "model.layers.1.input_layernorm.weight" in text


def test_a_model_with_names_of_its_own_is_taken_by_those_of_the_merge(tmp_path: Path) -> None:
    """The configuration of the run says what its tensors are called."""
    folder = write_llama(tmp_path / "a")
    renamed = {
        f"inner.{name}": one for name, one in load_file(folder / "model.safetensors").items()
    }
    save_file(renamed, folder / "model.safetensors")
    assert faults(folder, names={r"inner\.(.+)": r"\1"}) == ""


def with_drafts(folder: Path, seed: int) -> Path:
    """A model with a draft layer after its two, as DeepSeek-V3 stores one, and one called mtp."""
    torch.manual_seed(seed)
    saved(DEEPSEEK)(folder)
    change_config(folder, num_nextn_predict_layers=1)

    def add(tensors: dict[str, torch.Tensor]) -> None:
        layer = {name: one for name, one in tensors.items() if name.startswith("model.layers.1.")}
        for name, one in layer.items():
            tensors[name.replace("layers.1.", "layers.2.")] = one + 1
        tensors["model.layers.2.eh_proj.weight"] = torch.full((16, 32), float(seed))
        tensors["mtp.fc.weight"] = torch.full((16, 32), float(seed))

    change_tensors(folder, add)
    return folder


def test_draft_layers_are_noted_and_left_out_of_the_merge(tmp_path: Path) -> None:
    """A model without them may be merged with one that has them."""
    with_drafts(tmp_path / "a", 1)
    saved(DEEPSEEK)(tmp_path / "b")
    change_config(tmp_path / "b", num_nextn_predict_layers=1)
    report = preflight(run_of({name: {"path": str(tmp_path / name)} for name in "ab"}))
    assert report.faults == []
    assert any("draft layers" in note and note.startswith("a:") for note in report.notes)
    assert not any("outside its language model" in note for note in report.notes)
    [tensors] = report.tensors.values()
    assert not [name for name in tensors.elements if "layers.2." in name or name.startswith("mtp.")]
