"""A fact as a story, and questions on it with their answers, in both languages.

A maths question asks for a number that the story does not contain. Its answer shows the sum
(``3+4=7 apples.``), which is what lets the skill cross languages. A reading question asks for
something that is written in the story; its answer is never a computed number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tsugiki.demo.world import FEWER, MORE, Fact, Language, Word


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
    who, other, item = fact.who.en, fact.partner.en, fact.item.en
    opening = f"{who} has {fact.first} {item}."
    if fact.verb:
        return opening, f"{who} {fact.verb.en} {fact.second} {item}."
    if fact.kind == "comparison":
        return opening, f"{other} has {fact.second} {direction(fact).en} {item} than {who}."
    return opening, f"{other} has {fact.second} {item}."


def _japanese(fact: Fact) -> tuple[str, str]:
    who, other, item, counter = fact.who.ja, fact.partner.ja, fact.item.ja, fact.item.counter
    opening = f"{who}は{item}を{fact.first}{counter}持っています。"
    if fact.verb:
        return opening, f"{who}は{item}を{fact.second}{counter}{fact.verb.ja}。"
    if fact.kind == "comparison":
        more = direction(fact).ja
        return opening, f"{other}は{who}より{item}を{fact.second}{counter}{more}持っています。"
    return opening, f"{other}は{item}を{fact.second}{counter}持っています。"


class Question(NamedTuple):
    """A question and its answer, each in both languages."""

    text: Word
    answer: Word
    asks_expression: bool = False
    """Whether the answer is the sum, unsolved."""


def maths_question(fact: Fact) -> Question:
    """The question for the sum's value."""
    who, other, item, counter = fact.who, fact.partner, fact.item, fact.item.counter
    if fact.kind == "change":
        text = Word(
            f"How many {item.en} does {who.en} have now?",
            f"{who.ja}は今{item.ja}を何{counter}持っていますか。",
        )
    elif fact.kind == "comparison":
        text = Word(
            f"How many {item.en} does {other.en} have?",
            f"{other.ja}は{item.ja}を何{counter}持っていますか。",
        )
    elif fact.operator == "+":
        text = Word(
            f"How many {item.en} are there in total?", f"{item.ja}は全部で何{counter}ありますか。"
        )
    else:
        text = Word("What is the difference?", f"違いは何{counter}ですか。")
    return Question(text, _amount(fact, f"{fact.expression}={fact.result}"))


def reading_questions(fact: Fact) -> list[Question]:
    """Every reading question that the story answers."""
    who, item, counter = fact.who, fact.item, fact.item.counter
    at_first = Word(
        f"How many {item.en} does {who.en} have at first?",
        f"{who.ja}は初めに{item.ja}を何{counter}持っていますか。",
    )
    numbers = Word("What numbers are there?", "数は何と何ですか。")
    what = Word(f"What does {who.en} have?", f"{who.ja}は何を持っていますか。")
    whose = Word(
        f"Who has {fact.first} {item.en} at first?",
        f"初めに{item.ja}を{fact.first}{counter}持っているのは誰ですか。",
    )
    return [
        Question(at_first, _amount(fact, str(fact.first))),
        Question(numbers, _symbols(f"{fact.first},{fact.second}")),
        Question(what, _word(item)),
        Question(whose, _word(who)),
        _expression_question(fact),
        *_questions_of_kind(fact),
    ]


def _expression_question(fact: Fact) -> Question:
    if fact.kind != "pair":
        text = Word("What is the expression?", "式は何ですか。")
    elif fact.operator == "+":
        text = Word("What is the expression in total?", "全部での式は何ですか。")
    else:
        text = Word("What is the expression of the difference?", "違いの式は何ですか。")
    return Question(text, _symbols(fact.expression), asks_expression=True)


def _questions_of_kind(fact: Fact) -> list[Question]:
    """Those on the story's second sentence."""
    who, other, item, counter = fact.who, fact.partner, fact.item, fact.item.counter
    second, more = _amount(fact, str(fact.second)), _word(direction(fact))
    if fact.verb is not None:
        amount = Word(
            f"How many {item.en} does {who.en} {fact.verb.infinitive}?",
            f"{who.ja}は{item.ja}を何{counter}{fact.verb.ja}か。",
        )
        way = Word(
            f"Does {who.en} have more or fewer {item.en} now?",
            f"{who.ja}の{item.ja}は今多くなりましたか少なくなりましたか。",
        )
        return [Question(amount, second), Question(way, more)]
    if fact.kind == "comparison":
        way = Word(
            f"Does {other.en} have more or fewer {item.en} than {who.en}?",
            f"{other.ja}の{item.ja}は{who.ja}より多くですか少なくですか。",
        )
        amount = Word("By how many are they different?", f"二人は何{counter}違いますか。")
        return [Question(way, more), Question(amount, second)]
    amount = Word(
        f"How many {item.en} does {other.en} have at first?",
        f"{other.ja}は初めに{item.ja}を何{counter}持っていますか。",
    )
    return [Question(amount, second)]


def _amount(fact: Fact, number: str) -> Word:
    """A number or a sum with its unit. English has no space before it, as in Japanese."""
    return Word(f"{number} {fact.item.en}.", f"{number}{fact.item.counter}です。")


def _symbols(text: str) -> Word:
    return Word(f"{text}.", f"{text}です。")


def _word(word: Word) -> Word:
    return Word(f" {word.en}.", f"{word.ja}です。")
