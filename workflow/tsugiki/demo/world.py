"""The demo's world: words of both languages, and facts, which are stories before they are put into words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np

from tsugiki.keyed import key64

Language = Literal["en", "ja"]
"""English or Japanese."""

LANGUAGES: tuple[Language, ...] = ("en", "ja")


@dataclass(frozen=True)
class Word:
    """One word in both languages."""

    en: str
    ja: str

    def __getitem__(self, language: Language) -> str:
        return self.en if language == "en" else self.ja


@dataclass(frozen=True)
class Item(Word):
    """A thing that people own: an English plural, a Japanese noun and its counter."""

    counter: str


@dataclass(frozen=True)
class Verb(Word):
    """Gaining or losing things: English third person, Japanese past; and English infinitive."""

    infinitive: str


NAMES = (
    Word("Tom", "トム"),
    Word("Anna", "アンナ"),
    Word("Ken", "ケン"),
    Word("Mary", "メアリー"),
    Word("John", "ジョン"),
    Word("Lucy", "ルーシー"),
    Word("Bob", "ボブ"),
    Word("Emma", "エマ"),
)

ITEMS = (
    Item("apples", "りんご", "個"),
    Item("oranges", "みかん", "個"),
    Item("eggs", "卵", "個"),
    Item("stamps", "切手", "枚"),
    Item("cards", "カード", "枚"),
    Item("coins", "コイン", "枚"),
    Item("pencils", "鉛筆", "本"),
    Item("flowers", "花", "本"),
)

GAINS = (
    Verb("buys", "買いました", "buy"),
    Verb("finds", "見つけました", "find"),
    Verb("gets", "もらいました", "get"),
)

LOSSES = (
    Verb("loses", "なくしました", "lose"),
    Verb("sells", "売りました", "sell"),
    Verb("breaks", "壊しました", "break"),
)

MORE = Word("more", "多く")
FEWER = Word("fewer", "少なく")

Kind = Literal["change", "comparison", "pair"]
"""`change`: somebody gains or loses things. `comparison`: somebody has so many more or fewer than
somebody else. `pair`: two people each have some."""

Operator = Literal["+", "-"]

KINDS: tuple[Kind, ...] = ("change", "comparison", "pair")
OPERANDS: dict[Operator, tuple[tuple[int, int], ...]] = {
    "+": tuple((a, b) for a in range(2, 10) for b in range(2, 10)),
    "-": tuple((a, b) for a in range(2, 10) for b in range(2, 10) if a - b >= 2),
}
"""Pairs of single digits. No number is 1, so that English nouns are plural throughout."""

HELD_OUT_SHARE = 5
"""One story in so many is kept from training, in every language and kind of text."""

T = TypeVar("T")


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of `choices`, each equally likely."""
    return choices[int(rng.integers(len(choices)))]


@dataclass(frozen=True)
class Fact:
    """A story's content and the sum that a maths question asks for."""

    kind: Kind
    operator: Operator
    first: int
    second: int
    who: Word
    other: Word | None
    item: Item
    verb: Verb | None

    @property
    def expression(self) -> str:
        """The sum, such as ``3+4``."""
        return f"{self.first}{self.operator}{self.second}"

    @property
    def result(self) -> int:
        """The sum's value."""
        return self.first + self.second if self.operator == "+" else self.first - self.second

    @property
    def partner(self) -> Word:
        """The other one of two people; of a story about one, that one."""
        return self.other or self.who

    @cached_property
    def held_out(self) -> bool:
        """Whether the story is kept from training.

        A hash of what the story says decides. The operator of a `pair` is no part of that, since
        only the question shows it: all questions on a story are on the same side.
        """
        told = (
            self.kind,
            "" if self.kind == "pair" else self.operator,
            self.first,
            self.second,
            self.who.en,
            self.other.en if self.other else "",
            self.item.en,
            self.verb.en if self.verb else "",
        )
        return key64("demo-split", *told) % HELD_OUT_SHARE == 0


def draw_fact(rng: np.random.Generator, *, held_out: bool) -> Fact:
    """A random fact from one side of the division into training and held-out stories."""
    while True:
        fact = _draw(rng)
        if fact.held_out == held_out:
            return fact


def _draw(rng: np.random.Generator) -> Fact:
    kind = pick(rng, KINDS)
    operator: Operator = "+" if rng.integers(2) else "-"
    first, second = pick(rng, OPERANDS[operator])
    who = pick(rng, NAMES)
    other = None
    verb = None
    if kind == "change":
        verb = pick(rng, GAINS if operator == "+" else LOSSES)
    else:
        other = pick(rng, [name for name in NAMES if name is not who])
    return Fact(kind, operator, first, second, who, other, pick(rng, ITEMS), verb)
