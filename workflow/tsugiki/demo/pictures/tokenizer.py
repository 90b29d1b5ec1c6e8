"""The tokenizer of the pictures' world, and the processor of its vision-language model."""

from __future__ import annotations

from functools import cache
from typing import Any

from transformers import PreTrainedTokenizerFast

from tsugiki.demo.pictures.drawing import CELL, SIDE
from tsugiki.demo.pictures.scenes import COLOURS, KINDS, NUMBERS, PLACES
from tsugiki.demo.tokenizer import SPACE, SPECIAL, word_tokenizer

IMAGE = "<image>"
"""Stands for a picture in a text, and in the tokens for one of its patches."""
PATCHES = (SIDE // CELL) ** 2
SYMBOLS = (":", ".", "?", "。", "、", "\n", SPACE)
LABELS = ("Q:", "A:", "Text:", "文:", "English:", "日本語:")
ENGLISH_GRAMMAR = ["What", "Where", "How", "many", "colour", "shape", "is", "it", "are", "there"]
JAPANESE_GRAMMAR = ["の", "何", "何色", "どこ", "いくつ", "形", "ですか", "です"]
WORDS = (*COLOURS, *KINDS, *PLACES, *NUMBERS)


@cache
def vocabulary() -> tuple[str, ...]:
    """All tokens, in the order of their ids."""
    english = {SPACE + word for word in (*ENGLISH_GRAMMAR, *(word.en for word in WORDS))}
    english |= {word.en for word in WORDS}  # a text may begin with them
    japanese = {*JAPANESE_GRAMMAR, *(word.ja for word in WORDS)}
    return (*SPECIAL.values(), IMAGE, *SYMBOLS, *LABELS, *sorted(english), *sorted(japanese))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, which knows the sign for a picture."""
    return word_tokenizer(vocabulary(), special=[IMAGE])


def build_processor() -> Any:
    """LLaVA's processor: pictures of one size as they are, each `<image>` as one token for each patch."""
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    pictures = CLIPImageProcessorPil(
        size={"height": SIDE, "width": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        do_resize=False,
        do_center_crop=False,
    )
    return LlavaProcessor(
        image_processor=pictures,
        tokenizer=build_tokenizer(),
        patch_size=CELL,
        vision_feature_select_strategy="default",
        image_token=IMAGE,
        num_additional_image_tokens=1,  # the tower's own first token, which is then left out
    )
