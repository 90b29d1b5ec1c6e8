"""Vocabularies and chat templates, in every form that tokenizers are published in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, Unigram, WordLevel, WordPiece

from tests.parents.checkpoints import VOCABULARY, write_tokenizer
from tsugiki.models.sources import FolderFiles
from tsugiki.models.vocabulary import read_template, read_tokenizer, read_vocabulary

TOKENS = {"<unk>": 0, "a": 1, "b": 2}

RAG = {"name": "rag", "template": "R"}
DEFAULT = {"name": "default", "template": "T"}

MODELS: list[Any] = [
    WordLevel(TOKENS, unk_token="<unk>"),
    WordPiece(TOKENS, unk_token="<unk>"),
    BPE(TOKENS, [], unk_token="<unk>"),
    Unigram([("<unk>", 0.0), ("a", -1.0), ("b", -2.0)], 0),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_every_kind_of_tokenizer_is_read_as_its_library_reads_it(
    model: Any, tmp_path: Path
) -> None:
    """Tokens and ids are those of the tokenizers library, added tokens included."""
    tokenizer = Tokenizer(model)
    tokenizer.add_special_tokens(["<pad>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    expected = tokenizer.get_vocab(with_added_tokens=True)
    assert expected["<pad>"] == 3
    assert read_vocabulary(FolderFiles(tmp_path))[0] == expected


MALFORMED: list[tuple[Callable[[Any], Any], list[str]]] = [
    (lambda one: one["model"]["vocab"].update(w0="3"), ["'w0'", "'3'"]),
    (lambda one: one["model"]["vocab"].update(w0=-3), ["'w0'", "-3"]),
    (lambda one: one["model"]["vocab"].update(w0=3.0), ["'w0'", "3.0"]),
    (lambda one: one["model"]["vocab"].update(w0=True), ["'w0'", "True"]),
    (lambda one: one["model"]["vocab"].update(w0=None), ["'w0'", "None"]),
    (lambda one: one.pop("model"), ["model.vocab"]),
    (lambda one: one.update(model=[]), ["model.vocab"]),
    (lambda one: one["model"].pop("vocab"), ["model.vocab"]),
    (lambda one: one["model"].update(vocab=["a", "b"]), ["model.vocab"]),
    (lambda one: one.update(added_tokens=None), ["added_tokens"]),
    (lambda one: one.update(added_tokens=[{"content": "x"}]), ["added_tokens"]),
    (lambda one: one.update(added_tokens=[{"content": "x", "id": "64"}]), ["'x'", "'64'"]),
]


@pytest.mark.parametrize(("change", "words"), MALFORMED)
def test_a_malformed_tokenizer_is_a_fault_that_names_file_and_token(
    change: Callable[[Any], Any], words: list[str], tmp_path: Path
) -> None:
    """What the tokenizers library refuses, or would not understand, is told without a traceback."""
    write_tokenizer(tmp_path, VOCABULARY)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(Exception, match=r".*"):
        Tokenizer.from_file(str(path))
    read, [fault] = read_tokenizer("a", FolderFiles(tmp_path))
    assert read.vocabulary is None
    assert [word for word in ["tokenizer.json", *words] if word not in str(fault)] == []


def test_two_tokens_with_one_id_are_a_fault(tmp_path: Path) -> None:
    """Both would share a row."""
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "c": 1}))
    _, [fault] = read_tokenizer("a", FolderFiles(tmp_path))
    assert "vocab.json: tokens 'b' and 'c' both have id 1" in str(fault)


def test_vocabularies_of_older_tokenizers_are_read(tmp_path: Path) -> None:
    """vocab.json with added_tokens.json, and vocab.txt."""
    byte_pairs, pieces = tmp_path / "gpt2", tmp_path / "bert"
    byte_pairs.mkdir()
    pieces.mkdir()
    (byte_pairs / "vocab.json").write_text(json.dumps(TOKENS))
    (byte_pairs / "added_tokens.json").write_text(json.dumps({"<pad>": 3}))
    (pieces / "vocab.txt").write_text("<unk>\na\nb\n")
    assert read_vocabulary(FolderFiles(byte_pairs))[0] == TOKENS | {"<pad>": 3}
    assert read_vocabulary(FolderFiles(pieces))[0] == TOKENS


def test_a_vocabulary_that_is_not_plain_data_is_left_alone(tmp_path: Path) -> None:
    """tokenizer.model alone is not read."""
    (tmp_path / "tokenizer.model").write_bytes(b"\x0a")
    assert read_vocabulary(FolderFiles(tmp_path))[0] is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("chat_template.jinja", "T"),
        ("chat_template.json", '{"chat_template": "T"}'),
        ("tokenizer_config.json", '{"chat_template": "T"}'),
        (
            "tokenizer_config.json",
            json.dumps({"chat_template": [RAG, DEFAULT]}),
        ),
    ],
)
def test_a_chat_template_is_found_wherever_it_is(file: str, content: str, tmp_path: Path) -> None:
    """A file of its own, or an entry, or several named ones."""
    (tmp_path / file).write_text(content)
    assert read_template(FolderFiles(tmp_path)) == "T"


def test_no_chat_template_is_none(tmp_path: Path) -> None:
    """Absence is no template, not an empty one."""
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert read_template(FolderFiles(tmp_path)) is None
