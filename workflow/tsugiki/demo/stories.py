"""Stories: a fact in words."""

from __future__ import annotations

from collections.abc import Sequence

from tsugiki.demo.facts import Fact
from tsugiki.demo.words import FEWER, MORE, Language, Word


def direction(fact: Fact) -> Word:
    """`more` or `fewer`."""
    return MORE if fact.operator == "+" else FEWER


def sentences(fact: Fact, language: Language) -> tuple[str, str]:
    """The story's two sentences."""
    return _english(fact) if language == "en" else _japanese(fact)


def join(parts: Sequence[str], language: Language) -> str:
    """Put sentences together: with spaces in English, without in Japanese."""
    return (" " if language == "en" else "").join(parts)


def _english(fact: Fact) -> tuple[str, str]:
    who, item = fact.who.en, fact.item.en
    opening = f"{who} has {fact.first} {item}."
    if fact.verb:
        return opening, f"{who} {fact.verb.en} {fact.second} {item}."
    other = _other(fact).en
    if fact.kind == "comparison":
        return opening, f"{other} has {fact.second} {direction(fact).en} {item} than {who}."
    return opening, f"{other} has {fact.second} {item}."


def _japanese(fact: Fact) -> tuple[str, str]:
    who, item, counter = fact.who.ja, fact.item.ja, fact.item.counter
    opening = f"{who}は{item}を{fact.first}{counter}持っています。"
    if fact.verb:
        return opening, f"{who}は{item}を{fact.second}{counter}{fact.verb.ja}。"
    other = _other(fact).ja
    if fact.kind == "comparison":
        more = direction(fact).ja
        return opening, f"{other}は{who}より{item}を{fact.second}{counter}{more}持っています。"
    return opening, f"{other}は{item}を{fact.second}{counter}持っています。"


def _other(fact: Fact) -> Word:
    assert fact.other is not None
    return fact.other
