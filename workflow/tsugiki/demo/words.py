"""The demo world's vocabulary: every word exists in English and in Japanese."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
