"""What is in a picture, and what is said and asked about it in both languages.

A scene has one to four shapes on five places. No two share a colour, a kind or a place, so that each of the three
tells which shape is meant.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from tsugiki.demo.world import HELD_OUT_SHARE, Language, Word, pick
from tsugiki.keyed import key64

COLOURS = (
    Word("red", "赤"),
    Word("blue", "青"),
    Word("green", "緑"),
    Word("yellow", "黄色"),
    Word("white", "白"),
)
KINDS = (
    Word("circle", "丸"),
    Word("square", "四角"),
    Word("triangle", "三角"),
    Word("cross", "十字"),
    Word("ring", "輪"),
)
PLACES = (
    Word("top", "上"),
    Word("left", "左"),
    Word("centre", "中央"),
    Word("right", "右"),
    Word("bottom", "下"),
)
NUMBERS = (Word("one", "一つ"), Word("two", "二つ"), Word("three", "三つ"), Word("four", "四つ"))

Asked = Literal["colour", "kind", "place", "number"]
"""What a question asks for."""


class Shape(NamedTuple):
    """A shape by its indices into `PLACES`, `COLOURS` and `KINDS`."""

    place: int
    colour: int
    kind: int


Scene = tuple[Shape, ...]
"""Shapes by place."""


class Question(NamedTuple):
    """A question and its answer, in words of both languages."""

    asked: Asked
    text: Word
    answer: Word


def draw_scene(rng: np.random.Generator, *, held_out: bool) -> Scene:
    """A random scene from one side of the division into those for training and those held out."""
    while True:
        count = 1 + int(rng.integers(len(NUMBERS)))
        columns = (rng.permutation(len(words))[:count] for words in (PLACES, COLOURS, KINDS))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        scene = tuple(sorted(Shape(*row) for row in rows))
        if is_held_out(scene) == held_out:
            return scene


def is_held_out(scene: Scene) -> bool:
    """Whether no model is trained on the scene, as picture or as text. A hash of its content decides."""
    return (
        key64("picture-split", *(part for shape in scene for part in shape)) % HELD_OUT_SHARE == 0
    )


def describe(rng: np.random.Generator, scene: Scene, language: Language) -> str:
    """The scene in words, its shapes in random order."""
    told = []
    for index in rng.permutation(len(scene)):
        shape = scene[index]
        place, colour, kind = (
            word[language]
            for word in (PLACES[shape.place], COLOURS[shape.colour], KINDS[shape.kind])
        )
        told.append(
            f"{place} {colour} {kind}." if language == "en" else f"{place}に{colour}の{kind}。"
        )
    return (" " if language == "en" else "").join(told)


def draw_question(rng: np.random.Generator, scene: Scene) -> Question:
    """A random question on a scene: one of six forms, each equally likely, about a shape of the scene."""
    shape = pick(rng, scene)
    place, colour, kind = PLACES[shape.place], COLOURS[shape.colour], KINDS[shape.kind]
    number = NUMBERS[len(scene) - 1]
    asked, english, japanese, answer = pick(rng, _FORMS)
    words = {"place": place, "colour": colour, "kind": kind, "number": number}
    text = Word(
        english.format(**{name: word.en for name, word in words.items()}),
        japanese.format(**{name: word.ja for name, word in words.items()}),
    )
    return Question(asked, text, Word(f" {words[answer].en}.", f"{words[answer].ja}です。"))


_FORMS: tuple[tuple[Asked, str, str, str], ...] = (
    ("colour", "What colour is the {kind}?", "{kind}は何色ですか。", "colour"),
    ("colour", "What colour is {place}?", "{place}は何色ですか。", "colour"),
    ("kind", "What shape is {colour}?", "{colour}の形は何ですか。", "kind"),
    ("kind", "What shape is {place}?", "{place}の形は何ですか。", "kind"),
    ("place", "Where is the {kind}?", "{kind}はどこですか。", "place"),
    ("number", "How many shapes?", "形はいくつですか。", "number"),
)
