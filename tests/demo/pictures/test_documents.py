"""What the three models learn from."""

from __future__ import annotations

from itertools import islice
from typing import get_args

import pytest

from tsugiki.demo.pictures.documents import DocumentKind, draw_documents, draw_pictures
from tsugiki.demo.pictures.tasks import rows
from tsugiki.demo.pictures.tokenizer import IMAGE, PATCHES, build_processor, build_tokenizer
from tsugiki.keyed import generator


@pytest.mark.parametrize("kind", get_args(DocumentKind))
def test_every_document_is_made_of_known_words(kind: DocumentKind) -> None:
    """Decoding gives the text back, and cutting at the borders of spans changes no token."""
    tokenizer = build_tokenizer()
    for document in islice(draw_documents(generator("test-documents"), {kind: 1.0}), 100):
        text = "".join(span.text for span in document)
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text
        pieces = tokenizer([span.text for span in document], add_special_tokens=False).input_ids
        assert [token for piece in pieces for token in piece] == ids


def test_a_prompt_has_a_token_for_each_patch_and_no_unknown_words() -> None:
    """In both languages, as the processor reads it: what training shows the model."""
    processor = build_processor()
    drawn = next(draw_pictures(generator("test-pictures")))
    prompts = [row["prompt"] for language in ("en", "ja") for row in rows(language, 50, 3)]
    for prompt in (*prompts, "".join(span.text for span in drawn.document)):
        read = processor(images=drawn.picture, text=prompt)
        ids = list(read["input_ids"][0])
        image = processor.tokenizer.convert_tokens_to_ids(IMAGE)
        assert ids[: PATCHES + 1] == [processor.tokenizer.bos_token_id, *[image] * PATCHES]
        assert image not in ids[PATCHES + 1 :]
        assert processor.tokenizer.unk_token_id not in ids
