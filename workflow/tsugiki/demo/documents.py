"""Texts to learn from: a document is a row of spans, some of which are learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from tsugiki.demo.stories import Question, join, maths_question, reading_questions, sentences
from tsugiki.demo.world import LANGUAGES, OPERANDS, Fact, Language, Operator, draw_fact, pick

DocumentKind = Literal[
    "story_en",
    "story_ja",
    "reading_en",
    "reading_ja",
    "maths_en",
    "maths_ja",
    "english_to_japanese",
    "japanese_to_english",
    "sums",
]

Kind = TypeVar("Kind", bound=str)

SUMS_IN_A_DOCUMENT = 6


class Span(NamedTuple):
    """A piece of text."""

    text: str
    learned: bool
    """Whether the model is trained to write it, or only to read it."""


Document = tuple[Span, ...]


def prompt(fact: Fact, question: Question, language: Language) -> str:
    """Story, question and the sign that an answer is due."""
    told = [*sentences(fact, language), question.text[language]]
    lead = "Q: " if language == "en" else "Q:"
    return f"{lead}{join(told, language)}\nA:"


def draw_reading(rng: np.random.Generator, fact: Fact) -> Question:
    """A reading question; the one for the sum's expression comes up twice as often."""
    questions = reading_questions(fact)
    return pick(rng, [*questions, *(asked for asked in questions if asked.asks_expression)])


def draw_documents(
    rng: np.random.Generator, mixture: Mapping[DocumentKind, float]
) -> Iterator[Document]:
    """Training documents without end.

    `mixture` is the relative frequency of each kind.
    """
    return draw_mixed(rng, mixture, _DRAW)


def draw_mixed(
    rng: np.random.Generator,
    mixture: Mapping[Kind, float],
    draw: Mapping[Kind, Callable[[np.random.Generator], Document]],
) -> Iterator[Document]:
    """Documents of several kinds without end.

    `mixture` is the relative frequency of each kind, `draw` draws one.
    """
    kinds = list(mixture)
    shares = np.array([mixture[kind] for kind in kinds])
    cumulated = np.cumsum(shares / shares.sum())
    while True:
        kind = kinds[min(int(np.searchsorted(cumulated, rng.random())), len(kinds) - 1)]
        yield draw[kind](rng)


def _story(language: Language, rng: np.random.Generator) -> Document:
    fact = draw_fact(rng, held_out=False)
    text = join([*sentences(fact, language), _either(rng, fact).text[language]], language)
    return (Span(f"Text: {text}" if language == "en" else f"文:{text}", learned=True),)


def _reading(language: Language, rng: np.random.Generator) -> Document:
    fact = draw_fact(rng, held_out=False)
    return _solved(fact, draw_reading(rng, fact), language)


def _maths(language: Language, rng: np.random.Generator) -> Document:
    fact = draw_fact(rng, held_out=False)
    return _solved(fact, maths_question(fact), language)


def _either(rng: np.random.Generator, fact: Fact) -> Question:
    return maths_question(fact) if rng.integers(2) else draw_reading(rng, fact)


def _solved(fact: Fact, question: Question, language: Language) -> Document:
    return (
        Span(prompt(fact, question, language), learned=False),
        Span(question.answer[language], learned=True),
    )


def _translation(source: Language, rng: np.random.Generator) -> Document:
    fact = draw_fact(rng, held_out=False)
    question = _either(rng, fact)
    part = slice(None) if (start := int(rng.integers(4))) == 3 else slice(start, start + 1)
    english, japanese = (
        join([*sentences(fact, language), question.text[language]][part], language)
        for language in LANGUAGES
    )
    return translated(source, english, japanese)


def translated(source: Language, english: str, japanese: str) -> Document:
    """A text in a language, and its learned translation into the other."""
    if source == "en":
        return Span(f"English: {english}\n日本語:", learned=False), Span(japanese, learned=True)
    return Span(f"日本語:{japanese}\nEnglish:", learned=False), Span(f" {english}", learned=True)


def _sums(rng: np.random.Generator) -> Document:
    spans = [Span("Text: ", learned=False)]
    for _ in range(SUMS_IN_A_DOCUMENT):
        operator: Operator = "+" if rng.integers(2) else "-"
        first, second = pick(rng, OPERANDS[operator])
        result = first + second if operator == "+" else first - second
        spans += [
            Span(f"{first}{operator}{second}=", learned=False),
            Span(f"{result}.", learned=True),
        ]
    return tuple(spans)


_DRAW: dict[DocumentKind, Callable[[np.random.Generator], Document]] = {
    "story_en": partial(_story, "en"),
    "story_ja": partial(_story, "ja"),
    "reading_en": partial(_reading, "en"),
    "reading_ja": partial(_reading, "ja"),
    "maths_en": partial(_maths, "en"),
    "maths_ja": partial(_maths, "ja"),
    "english_to_japanese": partial(_translation, "en"),
    "japanese_to_english": partial(_translation, "ja"),
    "sums": _sums,
}
