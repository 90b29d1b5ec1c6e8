"""What the three models learn from: scenes in words or as pictures, followed by questions and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from tsugiki.demo.documents import Document, Span, draw_mixed, translated
from tsugiki.demo.pictures.drawing import draw_picture
from tsugiki.demo.pictures.scenes import ASKED, Scene, describe, draw_scene, question
from tsugiki.demo.pictures.tokenizer import IMAGE
from tsugiki.demo.world import Language, pick

DocumentKind = Literal[
    "english",
    "japanese",
    "english_asked_in_japanese",
    "japanese_asked_in_english",
    "english_to_japanese",
    "japanese_to_english",
]
"""The language of the scene, and of the questions if it is another one; or a translation."""


def ask(question: str, language: Language) -> str:
    """A question, and the sign that an answer is due."""
    return f"\nQ:{' ' if language == 'en' else ''}{question}\nA:"


def draw_documents(
    rng: np.random.Generator, mixture: Mapping[DocumentKind, float]
) -> Iterator[Document]:
    """Texts to train on, without end.

    `mixture` is the relative frequency of each kind.
    """
    return draw_mixed(rng, mixture, _DRAW)


class Shown(NamedTuple):
    """A picture to train on."""

    scene: Scene
    picture: Image.Image
    document: Document
    """Begins with the sign for the picture; the questions are English."""


def draw_pictures(rng: np.random.Generator) -> Iterator[Shown]:
    """Pictures with questions to train on, without end."""
    while True:
        scene = draw_scene(rng, held_out=False)
        picture = draw_picture(rng, scene)
        yield Shown(scene, picture, (Span(IMAGE, learned=False), *_answered(rng, scene, "en")))


def _answered(rng: np.random.Generator, scene: Scene, language: Language) -> Document:
    """All four questions in random order; the tasks ask one."""
    spans = []
    for index in rng.permutation(len(ASKED)):
        posed = question(scene, ASKED[index])
        spans += [
            Span(ask(posed.text[language], language), learned=False),
            Span(posed.answer[language], learned=True),
        ]
    return tuple(spans)


def _reading(told: Language, asked: Language, rng: np.random.Generator) -> Document:
    scene = draw_scene(rng, held_out=False)
    label = "Text: " if told == "en" else "文:"
    text = Span(label + describe(rng, scene, told), learned=False)
    return (text, *_answered(rng, scene, asked))


def _translation(source: Language, rng: np.random.Generator) -> Document:
    scene = draw_scene(rng, held_out=False)
    posed = question(scene, pick(rng, ASKED))
    words = pick(rng, (scene.word(posed.asked), posed.text, posed.answer))
    return translated(source, words.en.strip(), words.ja)


_DRAW: dict[DocumentKind, Callable[[np.random.Generator], Document]] = {
    "english": partial(_reading, "en", "en"),
    "japanese": partial(_reading, "ja", "ja"),
    "english_asked_in_japanese": partial(_reading, "en", "ja"),
    "japanese_asked_in_english": partial(_reading, "ja", "en"),
    "english_to_japanese": partial(_translation, "en"),
    "japanese_to_english": partial(_translation, "ja"),
}
