"""The tokenizer of aligned models, as transformers loads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import AutoTokenizer

from tests.parents.checkpoints import write_llama
from tsugiki.config.parents import Vocabulary
from tsugiki.errors import ParentError
from tsugiki.models.facts import read_model
from tsugiki.models.sources import FolderFiles
from tsugiki.parents.prepare.vocabulary import Alignment, align, tokenizer_files

TEXT = "grafting breeds language models: 接ぎ木 <|im_start|>user hello<|im_end|>"
CHAT = ["<|im_start|>", "<|im_end|>"]


def write_pieces(folder: Path, kind: str, added: list[str], *, older: bool = False) -> Path:
    """A llama with a byte-level BPE tokenizer, trained on the spot, of a given class.

    `older` libraries also wrote the added tokens to tokenizer_config.json.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["grafting breeds language models hello"] * 3, trainer)
    tokenizer.add_special_tokens(added)
    write_llama(folder, vocab_size=tokenizer.get_vocab_size())
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {"tokenizer_class": kind, "bos_token": "<s>"}
    config["eos_token"] = (added or ["<|endoftext|>"])[-1]
    if older:
        entries = json.loads(tokenizer.to_str())["added_tokens"]
        config["added_tokens_decoder"] = {str(entry.pop("id")): entry for entry in entries}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("kind", ["PreTrainedTokenizerFast", "LlamaTokenizer", "Qwen2Tokenizer"])
def test_it_splits_text_as_the_owner_s_does_and_knows_added_tokens(
    kind: str, older: bool, tmp_path: Path
) -> None:
    """The ids are those of the owner, but for the added tokens."""
    base = FolderFiles(write_pieces(tmp_path / "base", kind, [], older=older))
    chat = FolderFiles(write_pieces(tmp_path / "chat", kind, CHAT, older=older))
    models = [
        read_model(name, files, trusted=False)[0]
        for name, files in (("base", base), ("chat", chat))
    ]
    alignment = align(models, Vocabulary(kind="union", of="base"))
    out = tmp_path / "out"
    out.mkdir()
    for name, content in tokenizer_files(base, chat, alignment).items():
        (out / name).write_bytes(content)
    (out / "config.json").write_bytes(chat.read("config.json"))
    made, theirs = AutoTokenizer.from_pretrained(out), AutoTokenizer.from_pretrained(chat.folder)
    assert made(TEXT)["input_ids"] == theirs(TEXT)["input_ids"]
    assert len(made) == alignment.rows == len(models[0].vocabulary or {}) + 2
    assert made.convert_tokens_to_ids(CHAT) == [alignment.rows - 2, alignment.rows - 1]
    assert made.eos_token == "<|im_end|>"
    plain = AutoTokenizer.from_pretrained(base.folder)
    words = "grafting breeds models"
    assert made(words)["input_ids"] == plain(words)["input_ids"]


def test_the_order_of_a_union_is_that_of_the_parents_and_of_their_ids(tmp_path: Path) -> None:
    """A token of two parents comes once, where the first has it."""
    names = {"base": ["<b>"], "one": ["<y>", "<x>"], "two": ["<z>", "<x>", "<b>"]}
    models = []
    for name, added in names.items():
        files = FolderFiles(write_pieces(tmp_path / name, "PreTrainedTokenizerFast", added))
        models.append(read_model(name, files, trusted=False)[0])
    alignment = align(models, Vocabulary(kind="union", of="base"))
    assert [token["content"] for token in alignment.appended] == ["<y>", "<x>", "<z>"]
    first = len(models[0].vocabulary or {})
    assert [token["id"] for token in alignment.appended] == [first, first + 1, first + 2]


def test_ids_with_gaps_cannot_be_added_to(tmp_path: Path) -> None:
    """The library numbers added tokens itself; where it would give other ids, it is an error."""
    files = FolderFiles(write_pieces(tmp_path / "a", "PreTrainedTokenizerFast", []))
    tokens = json.loads(files.read("tokenizer.json"))["model"]["vocab"]
    wanted = Alignment("a", tokens | {"<x>": 400}, 401, ({"content": "<x>", "id": 400},))
    with pytest.raises(ParentError, match="its ids have gaps"):
        tokenizer_files(files, files, wanted)
