"""What is in a picture, and what is said and asked about it in both languages.

A scene has one to three equal shapes at one of the four sides of a square of three by three cells.
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
    Word("purple", "紫"),
)
KINDS = (
    Word("circle", "丸"),
    Word("square", "四角"),
    Word("triangle", "三角"),
    Word("cross", "十字"),
    Word("ring", "輪"),
    Word("diamond", "ひし形"),
)
PLACES = (Word("top", "上"), Word("left", "左"), Word("right", "右"), Word("bottom", "下"))
NUMBERS = (Word("one", "一つ"), Word("two", "二つ"), Word("three", "三つ"))

SIDES = ((0, 1, 2), (0, 3, 6), (2, 5, 8), (6, 7, 8))
"""Cells of each of `PLACES`, counted row by row."""

Asked = Literal["colour", "kind", "place", "number"]
"""What a question asks for."""


class Scene(NamedTuple):
    """Equal shapes by their indices into `PLACES`, `COLOURS` and `KINDS`, and the cells that they are in."""

    place: int
    colour: int
    kind: int
    cells: tuple[int, ...]

    def word(self, asked: Asked) -> Word:
        """What is to be said of it."""
        words: dict[Asked, Word] = {
            "colour": COLOURS[self.colour],
            "kind": KINDS[self.kind],
            "place": PLACES[self.place],
            "number": NUMBERS[len(self.cells) - 1],
        }
        return words[asked]


class Question(NamedTuple):
    """A question and its answer, in words of both languages."""

    asked: Asked
    text: Word
    answer: Word


ASKED: tuple[Asked, ...] = ("colour", "kind", "place", "number")
QUESTIONS: dict[Asked, Word] = {
    "colour": Word("What colour is it?", "何色ですか。"),
    "kind": Word("What shape is it?", "何の形ですか。"),
    "place": Word("Where is it?", "どこですか。"),
    "number": Word("How many are there?", "いくつですか。"),
}


def draw_scene(rng: np.random.Generator, *, held_out: bool) -> Scene:
    """A random scene from one side of the division into those for training and those held out."""
    while True:
        place, colour, kind = (int(rng.integers(len(words))) for words in (PLACES, COLOURS, KINDS))
        first, middle, last = SIDES[place]  # those without the middle would not be at one side
        cells = pick(rng, ((middle,), (first, middle), (middle, last), (first, middle, last)))
        scene = Scene(place, colour, kind, cells)
        if is_held_out(scene) == held_out:
            return scene


def is_held_out(scene: Scene) -> bool:
    """Whether no model is trained on the scene, as picture or as text.

    A hash of place, colour, kind and number decides: what is held out are combinations.
    """
    told = (scene.place, scene.colour, scene.kind, len(scene.cells))
    return key64("picture-split", *told) % HELD_OUT_SHARE == 0


def describe(rng: np.random.Generator, scene: Scene, language: Language) -> str:
    """The scene in four words in random order."""
    words = [scene.word(ASKED[index])[language] for index in rng.permutation(len(ASKED))]
    return " ".join(words) + "." if language == "en" else "、".join(words) + "。"


def question(scene: Scene, asked: Asked) -> Question:
    """A question about a scene, and its answer."""
    word = scene.word(asked)
    return Question(asked, QUESTIONS[asked], Word(f" {word.en}.", f"{word.ja}です。"))
