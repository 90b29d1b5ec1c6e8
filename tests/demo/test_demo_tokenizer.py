"""The demo's tokenizer."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import get_args

import pytest
from transformers import AutoTokenizer

from tsugiki.demo.documents import DocumentKind, draw_documents
from tsugiki.demo.tokenizer import build_tokenizer, vocabulary
from tsugiki.keyed import generator


@pytest.mark.parametrize("kind", get_args(DocumentKind))
def test_every_document_survives_a_round_trip_without_unknown_tokens(kind: DocumentKind) -> None:
    """Decoding gives the text back, and cutting at span borders changes no token."""
    tokenizer = build_tokenizer()
    documents = draw_documents(generator("test-tokenizer"), {kind: 1.0})
    for _ in range(300):
        document = next(documents)
        text = "".join(span.text for span in document)
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text
        pieces = tokenizer([span.text for span in document], add_special_tokens=False).input_ids
        assert list(chain.from_iterable(pieces)) == ids


def test_languages_share_digits() -> None:
    """A number is the same tokens in both languages, digit by digit."""
    tokenizer = build_tokenizer()
    english, japanese = (tokenizer.tokenize(text) for text in ("3+9=12 apples.", "3+9=12個です。"))
    assert english[:6] == japanese[:6] == ["3", "+", "9", "=", "1", "2"]


def test_a_text_starts_with_the_start_token() -> None:
    """The checkpoint's tokenizer adds it, so that scoring sees what training saw."""
    tokenizer = build_tokenizer()
    assert tokenizer("Q:").input_ids == [
        tokenizer.bos_token_id,
        tokenizer.convert_tokens_to_ids("Q:"),
    ]


def test_a_saved_tokenizer_loads_by_name(tmp_path: Path) -> None:
    """Stock transformers reads it back with the same ids."""
    build_tokenizer().save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == {token: index for index, token in enumerate(vocabulary())}
    text = "Q:トムは花を3本持っています。"
    assert loaded(text).input_ids == build_tokenizer()(text).input_ids
    assert loaded.padding_side == "left"
