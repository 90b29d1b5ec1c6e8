"""A word-level tokenizer for the demo world.

One token per English word (with its leading space), per Japanese word and per digit. Text is cut
greedily into the longest known pieces, so that Japanese needs no spaces. Digits are shared by both
languages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tsugiki.demo.stories import maths_question, reading_questions, sentences
from tsugiki.demo.world import FEWER, GAINS, ITEMS, LOSSES, MORE, NAMES, draw_fact
from tsugiki.keyed import generator

SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
SPACE = "▁"
SYMBOLS = (*"0123456789+-=,.?。\n", SPACE)
LABELS = ("Q:", "A:", "Text:", "English:", "日本語:", "文:")
JAPANESE_GRAMMAR = (
    "は", "を", "の", "が", "より", "と", "か", "です", "持っています",
    "持っているのは", "何", "誰", "今", "初めに", "全部で", "全部での", "あります",
    "違い", "違います", "二人", "数", "式", "なりました"
)  # fmt: skip
MAX_LENGTH = 128
FACTS_TO_COVER_ENGLISH = 2000


@cache
def vocabulary() -> tuple[str, ...]:
    """All tokens, in the order of their ids."""
    japanese = {
        *JAPANESE_GRAMMAR,
        *(word.ja for word in (*NAMES, *ITEMS, *GAINS, *LOSSES, MORE, FEWER)),
        *(item.counter for item in ITEMS),
    }
    english = {SPACE + word for word in _english_words(generator("demo-vocabulary"))}
    return (*SPECIAL.values(), *SYMBOLS, *LABELS, *sorted(english), *sorted(japanese))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, which puts `<s>` before every text and pads on the left."""
    return word_tokenizer(vocabulary())


def word_tokenizer(
    tokens: Sequence[str], *, special: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """A tokenizer that cuts text into the longest of some tokens; it puts `<s>` first and pads on the left.

    Args:
        tokens: By id; those of `SPECIAL` are among them.
        special: Which of them are never part of a longer piece, besides those of `SPECIAL`.
    """
    ids = {token: index for index, token in enumerate(tokens)}
    core = Tokenizer(
        models.WordPiece(
            ids,
            unk_token=SPECIAL["unk_token"],
            continuing_subword_prefix="",
            max_input_chars_per_word=10_000,
        )
    )
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never", split=True),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", ids["<s>"])]
    )
    core.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace(SPACE, " ")])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        **SPECIAL,
        **({"additional_special_tokens": list(special)} if special else {}),
        padding_side="left",
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def _english_words(rng: np.random.Generator) -> set[str]:
    """Every English word that a story, question or answer can hold."""
    words: set[str] = set()
    for _ in range(FACTS_TO_COVER_ENGLISH):
        fact = draw_fact(rng, held_out=False)
        texts = [*sentences(fact, "en")]
        for question in (maths_question(fact), *reading_questions(fact)):
            texts += [question.text.en, question.answer.en]
        words.update(re.findall(r"[A-Za-z]+", " ".join(texts)))
    return words
