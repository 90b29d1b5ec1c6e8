"""Adapters as parents of a run, end to end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.parents.checkpoints import write_tokenizer
from tsugiki.contracts.locks import read_lock
from tsugiki.errors import ParentError

from .adapters import PEFT, WORDS, adapted, change
from .models import EMBEDDINGS, HEAD, prepare, run_with, tensors, vocabulary

LORA = {"lora": "base"}


def test_an_adapter_is_written_as_a_whole_model(tmp_path: Path) -> None:
    """Its tensors are peft's, it loads in transformers, and the lock says what it is made from."""
    folders = prepare(run_with(adapted(tmp_path), ["base", "lora"], adapters=LORA))
    assert folders["base"] == tmp_path / "base"
    made, expected = tensors(folders["lora"]), load_file(PEFT / "plain/merged.safetensors")
    assert made.keys() == expected.keys()
    for name, values in made.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-5, atol=1e-6)
    _, info = AutoModelForCausalLM.from_pretrained(folders["lora"], output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert AutoTokenizer.from_pretrained(folders["lora"])("w0 w1")["input_ids"] == [3, 4]
    lock = read_lock(tmp_path / "results/lock.json").parents
    prepared = lock["lora"].prepared
    assert prepared is not None
    assert prepared.made_from == {name: lock[name].digest for name in ("base", "lora")}
    assert [file.name for file in lock["lora"].files] == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_an_adapter_is_merged_in_the_number_format_of_its_base(tmp_path: Path) -> None:
    """float32 LoRA on a bfloat16 base gives bfloat16, from one sum in full precision."""
    adapted(tmp_path)
    path = tmp_path / "base/model.safetensors"
    base = {name: values.bfloat16() for name, values in load_file(path).items()}
    save_file(base, path, metadata={"format": "pt"})
    made = tensors(prepare(run_with(tmp_path, ["base", "lora"], adapters=LORA))["lora"])
    lora = load_file(tmp_path / "lora/adapter_model.safetensors")
    module = "model.layers.0.self_attn.q_proj"
    a, b = (lora[f"base_model.model.{module}.lora_{part}.weight"] for part in "AB")
    exact = base[f"{module}.weight"].double() + 6 / 4 * b.double() @ a.double()
    assert torch.equal(made[f"{module}.weight"], exact.bfloat16())


def test_an_adapter_is_aligned_once_it_is_merged(tmp_path: Path) -> None:
    """One folder holds both: the merged rows, and the rows of another parent's added tokens."""
    adapted(tmp_path, "embeddings")
    shutil.copytree(tmp_path / "base", tmp_path / "chat")
    write_tokenizer(tmp_path / "chat", WORDS[:-1])
    tokenizer = tmp_path / "chat/tokenizer.json"
    change(tokenizer, added_tokens=[{"id": 11, "content": "<chat>", "special": True}])
    setting = {"kind": "union", "of": "base"}
    names = ["base", "lora", "chat"]
    folders = prepare(run_with(tmp_path, names, adapters=LORA, vocabulary=setting))
    assert vocabulary(folders["lora"]) == vocabulary(tmp_path / "base") | {"<chat>": 12}
    expected = load_file(PEFT / "embeddings/merged.safetensors")
    for name in (EMBEDDINGS, HEAD):
        made = tensors(folders["lora"])[name]
        torch.testing.assert_close(made[:12], expected[name], rtol=1e-5, atol=1e-6)
        assert torch.equal(made[12], tensors(tmp_path / "chat")[name][11])


def test_tokens_that_came_with_an_adapter_are_kept(tmp_path: Path) -> None:
    """Peft saves resized embeddings whole; the adapter's own tokenizer goes with them."""
    adapted(tmp_path, "saved-modules")
    path = tmp_path / "lora/adapter_model.safetensors"
    saved = load_file(path)
    for name in ("base_model.model.model.embed_tokens.weight", "base_model.model.lm_head.weight"):
        saved[name] = torch.cat([saved[name], torch.ones(2, 8)])
    save_file(saved, path)
    write_tokenizer(tmp_path / "lora", (*WORDS, "<one>", "<two>"), "T")
    setting = {"kind": "parent", "of": "lora"}
    folders = prepare(run_with(tmp_path, ["base", "lora"], adapters=LORA, vocabulary=setting))
    for folder in folders.values():
        assert tensors(folder)[HEAD].shape == (14, 8)
        assert torch.equal(tensors(folder)[HEAD][12:], torch.ones(2, 8))
        assert vocabulary(folder)["<two>"] == 13
    assert (folders["lora"] / "chat_template.jinja").read_text() == "T"
    assert not (folders["base"] / "chat_template.jinja").exists()


@pytest.mark.parametrize("equal", [True, False])
def test_a_head_saved_with_an_adapter_of_a_tied_base(tmp_path: Path, equal: bool) -> None:
    """Equal to the embeddings it stays tied, and is not stored; another one is refused."""
    adapted(tmp_path, "saved-modules")
    change(tmp_path / "base/config.json", tie_word_embeddings=True)
    base = load_file(tmp_path / "base/model.safetensors")
    del base[HEAD]
    save_file(base, tmp_path / "base/model.safetensors", metadata={"format": "pt"})
    path = tmp_path / "lora/adapter_model.safetensors"
    saved = load_file(path)
    if equal:
        saved["base_model.model.lm_head.weight"] = saved[
            "base_model.model.model.embed_tokens.weight"
        ].clone()
    save_file(saved, path)
    config = run_with(tmp_path, ["base", "lora"], adapters=LORA)
    if equal:
        assert HEAD not in tensors(prepare(config)["lora"])
    else:
        with pytest.raises(ParentError, match="a head of its own"):
            prepare(config)
