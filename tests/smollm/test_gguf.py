"""The base of config/smollm.yaml, out of a GGUF file that the `gguf` package writes here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.parents.checkpoints import CONFIG, llama_tensors
from tsugiki.errors import ParentError
from tsugiki.models.files import digest_folder
from tsugiki.smollm import parents

gguf = pytest.importorskip("gguf", reason="envs/smollm.lock is not installed: `make smollm`")

SHAPE = {**CONFIG, "tie_word_embeddings": True}
HEADS = {"q_proj": SHAPE["num_attention_heads"], "k_proj": SHAPE["num_key_value_heads"]}
"""Heads of the two projections that llama.cpp stores with the halves of each head interleaved."""
WORDS = [*"abcdefghijklmnopqrstuvwxyz", "ab", "abc", "Ġ"]
MERGES = ["a b", "ab c"]
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """A projection's rows as llama.cpp stores them: `LlamaModel.permute` of its converter."""
    rows = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(weight.shape))


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A small llama in one file, its projections inside the layers as blocks of 8 bits, with its true values."""
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(SHAPE["max_position_embeddings"])
    writer.add_embedding_length(32)
    writer.add_block_count(SHAPE["num_hidden_layers"])
    writer.add_feed_forward_length(64)
    writer.add_head_count(SHAPE["num_attention_heads"])
    writer.add_head_count_kv(SHAPE["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(SHAPE["rms_norm_eps"])
    writer.add_rope_freq_base(SHAPE["rope_theta"])
    writer.add_vocab_size(64)
    writer.add_tokenizer_model("gpt2")
    tokens = [*MARKS, *WORDS]
    tokens += [f"x{number}" for number in range(64 - len(tokens))]
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.CONTROL] * len(MARKS) + [gguf.TokenType.NORMAL] * (64 - len(MARKS))
    writer.add_token_types(kinds)
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, SHAPE["num_hidden_layers"])
    true: dict[str, torch.Tensor] = {}
    wide = {**SHAPE, "hidden_size": 32, "intermediate_size": 64}
    for name, tensor in llama_tensors(wide, seed=5).items():
        values = tensor.float().numpy()
        heads = next((count for part, count in HEADS.items() if part in name), 0)
        laid_out = interleaved(values, heads) if heads else values
        stored_as = names.get_name(name, try_suffixes=(".weight",))
        if "proj" in name:
            blocks = gguf.quants.quantize(laid_out, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(stored_as, blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
            rounded = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            values = gguf.quants.dequantize(rounded, gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(stored_as, laid_out)
        true[name] = torch.from_numpy(values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, true


def test_a_gguf_file_becomes_an_ordinary_checkpoint_of_the_same_values(
    stored: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    """Each tensor is what its blocks stand for, in bfloat16, rows of heads in transformers' order."""
    path, true = stored
    out = tmp_path / "base"
    out.mkdir()
    parents.write_base(out, path)
    model = AutoModelForCausalLM.from_pretrained(out)
    found = model.state_dict()
    assert found.pop("lm_head.weight").data_ptr() == found["model.embed_tokens.weight"].data_ptr()
    assert set(found) == set(true)
    for name, values in true.items():
        assert torch.equal(found[name].bfloat16(), values.bfloat16()), name
    assert (model.config.num_attention_heads, model.config.num_key_value_heads) == (4, 2)
    assert model.config.rope_parameters["rope_theta"] == SHAPE["rope_theta"]
    assert "quantization_config" not in model.config.to_dict()
    assert digest_folder(out)


def test_the_tokenizer_and_its_template_come_along(
    stored: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    """Merges as the file has them, special tokens as one each, and the turns of a chat."""
    out = tmp_path / "base"
    out.mkdir()
    parents.write_base(out, stored[0])
    tokenizer = AutoTokenizer.from_pretrained(out)
    tokens = [*MARKS, *WORDS]
    ids = tokenizer("abc<|im_end|>ab", add_special_tokens=False)["input_ids"]
    assert ids == [tokens.index("abc"), 2, tokens.index("ab")]
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "abc"}], tokenize=False)
    assert chat == "<|im_start|>abc<|im_end|>"
    assert tokenizer.eos_token_id == 2


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr(parents, "PACKAGE", "no_such_package")
    with pytest.raises(ParentError) as caught:
        parents.gguf_file()
    assert caught.value.got == "no no_such_package"
    assert caught.value.fix == "make smollm"
