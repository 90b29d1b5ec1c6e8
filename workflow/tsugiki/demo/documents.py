"""Texts to learn from: a document is a row of spans, some of which are learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from tsugiki.demo.stories import Question, join, maths_question, reading_questions, sentences
from tsugiki.demo.world import OPERANDS, Fact, Language, Operator, draw_fact, pick

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
    told = [*sentences(fact, language), question.ask(language)]
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

    Args:
        rng: Source of everything random.
        mixture: Relative frequency of each kind of document.
    """
    return draw_mixed(rng, mixture, _DRAW)


def draw_mixed(
    rng: np.random.Generator,
    mixture: Mapping[Kind, float],
    draw: Mapping[Kind, Callable[[np.random.Generator], Document]],
) -> Iterator[Document]:
    """Documents of several kinds without end.

    Args:
        rng: Source of everything random.
        mixture: Relative frequency of each kind.
        draw: How one of each kind is drawn.
    """
    kinds = list(mixture)
    shares = np.array([mixture[kind] for kind in kinds])
    cumulated = np.cumsum(shares / shares.sum())
    while True:
        kind = kinds[min(int(np.searchsorted(cumulated, rng.random())), len(kinds) - 1)]
        yield draw[kind](rng)


def _story(language: Language) -> Callable[[np.random.Generator], Document]:
    def draw(rng: np.random.Generator) -> Document:
        fact = draw_fact(rng, held_out=False)
        question = maths_question(fact) if rng.integers(2) else draw_reading(rng, fact)
        text = join([*sentences(fact, language), question.ask(language)], language)
        return (Span(f"Text: {text}" if language == "en" else f"文:{text}", learned=True),)

    return draw


def _reading(language: Language) -> Callable[[np.random.Generator], Document]:
    def draw(rng: np.random.Generator) -> Document:
        fact = draw_fact(rng, held_out=False)
        return _solved(fact, draw_reading(rng, fact), language)

    return draw


def _maths(language: Language) -> Callable[[np.random.Generator], Document]:
    def draw(rng: np.random.Generator) -> Document:
        fact = draw_fact(rng, held_out=False)
        return _solved(fact, maths_question(fact), language)

    return draw


def _solved(fact: Fact, question: Question, language: Language) -> Document:
    return (
        Span(prompt(fact, question, language), learned=False),
        Span(question.reply(language), learned=True),
    )


def _translation(source: Language) -> Callable[[np.random.Generator], Document]:
    def draw(rng: np.random.Generator) -> Document:
        fact = draw_fact(rng, held_out=False)
        question = maths_question(fact) if rng.integers(2) else draw_reading(rng, fact)
        part = slice(None) if (start := int(rng.integers(4))) == 3 else slice(start, start + 1)
        english, japanese = (
            join([*sentences(fact, language), question.ask(language)][part], language)
            for language in ("en", "ja")
        )
        if source == "en":
            return (
                Span(f"English: {english}\n日本語:", learned=False),
                Span(japanese, learned=True),
            )
        return (
            Span(f"日本語:{japanese}\nEnglish:", learned=False),
            Span(f" {english}", learned=True),
        )

    return draw


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
    "story_en": _story("en"),
    "story_ja": _story("ja"),
    "reading_en": _reading("en"),
    "reading_ja": _reading("ja"),
    "maths_en": _maths("en"),
    "maths_ja": _maths("ja"),
    "english_to_japanese": _translation("en"),
    "japanese_to_english": _translation("ja"),
    "sums": _sums,
}
