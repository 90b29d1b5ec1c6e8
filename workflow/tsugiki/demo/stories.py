"""A fact as a story, and questions on it with their answers, in both languages.

A maths question asks for a number that the story does not contain. Its answer shows the sum
(``3+4=7 apples.``), which is what lets the skill cross languages. A reading question asks for
something that is written in the story; its answer is never a computed number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Question:
    """A question and its answer, each in both languages."""

    text: Word
    answer: Word
    asks_expression: bool = False
    """Whether the answer is the sum, unsolved."""

    def ask(self, language: Language) -> str:
        """The question in words."""
        return self.text[language]

    def reply(self, language: Language) -> str:
        """The answer in words."""
        return self.answer[language]


def maths_question(fact: Fact) -> Question:
    """The question for the sum's value."""
    return Question(_MATHS[fact.kind](fact), _amount(fact, f"{fact.expression}={fact.result}"))


def reading_questions(fact: Fact) -> list[Question]:
    """Every reading question that the story answers."""
    who, item, counter = fact.who, fact.item, fact.item.counter
    questions = [
        Question(
            Word(
                f"How many {item.en} does {who.en} have at first?",
                f"{who.ja}は初めに{item.ja}を何{counter}持っていますか。",
            ),
            _amount(fact, str(fact.first)),
        ),
        Question(
            Word("What numbers are there?", "数は何と何ですか。"),
            _symbols(f"{fact.first},{fact.second}"),
        ),
        Question(Word(f"What does {who.en} have?", f"{who.ja}は何を持っていますか。"), _word(item)),
        Question(
            Word(
                f"Who has {fact.first} {item.en} at first?",
                f"初めに{item.ja}を{fact.first}{counter}持っているのは誰ですか。",
            ),
            _word(who),
        ),
        _expression_question(fact),
    ]
    return questions + _READING[fact.kind](fact)


def _expression_question(fact: Fact) -> Question:
    if fact.kind != "pair":
        text = Word("What is the expression?", "式は何ですか。")
    elif fact.operator == "+":
        text = Word("What is the expression in total?", "全部での式は何ですか。")
    else:
        text = Word("What is the expression of the difference?", "違いの式は何ですか。")
    return Question(text, _symbols(fact.expression), asks_expression=True)


def _change(fact: Fact) -> Word:
    return Word(
        f"How many {fact.item.en} does {fact.who.en} have now?",
        f"{fact.who.ja}は今{fact.item.ja}を何{fact.item.counter}持っていますか。",
    )


def _comparison(fact: Fact) -> Word:
    assert fact.other is not None
    return Word(
        f"How many {fact.item.en} does {fact.other.en} have?",
        f"{fact.other.ja}は{fact.item.ja}を何{fact.item.counter}持っていますか。",
    )


def _pair(fact: Fact) -> Word:
    if fact.operator == "+":
        return Word(
            f"How many {fact.item.en} are there in total?",
            f"{fact.item.ja}は全部で何{fact.item.counter}ありますか。",
        )
    return Word("What is the difference?", f"違いは何{fact.item.counter}ですか。")


def _change_reading(fact: Fact) -> list[Question]:
    who, item = fact.who, fact.item
    assert fact.verb is not None
    amount = Word(
        f"How many {item.en} does {who.en} {fact.verb.infinitive}?",
        f"{who.ja}は{item.ja}を何{item.counter}{fact.verb.ja}か。",
    )
    way = Word(
        f"Does {who.en} have more or fewer {item.en} now?",
        f"{who.ja}の{item.ja}は今多くなりましたか少なくなりましたか。",
    )
    return [
        Question(amount, _amount(fact, str(fact.second))),
        Question(way, _word(direction(fact))),
    ]


def _comparison_reading(fact: Fact) -> list[Question]:
    who, other, item = fact.who, fact.other, fact.item
    assert other is not None
    way = Word(
        f"Does {other.en} have more or fewer {item.en} than {who.en}?",
        f"{other.ja}の{item.ja}は{who.ja}より多くですか少なくですか。",
    )
    amount = Word("By how many are they different?", f"二人は何{item.counter}違いますか。")
    return [
        Question(way, _word(direction(fact))),
        Question(amount, _amount(fact, str(fact.second))),
    ]


def _pair_reading(fact: Fact) -> list[Question]:
    other, item = fact.other, fact.item
    assert other is not None
    amount = Word(
        f"How many {item.en} does {other.en} have at first?",
        f"{other.ja}は初めに{item.ja}を何{item.counter}持っていますか。",
    )
    return [Question(amount, _amount(fact, str(fact.second)))]


def _amount(fact: Fact, number: str) -> Word:
    """A number or a sum with its unit. English has no space before it, as in Japanese."""
    return Word(f"{number} {fact.item.en}.", f"{number}{fact.item.counter}です。")


def _symbols(text: str) -> Word:
    return Word(f"{text}.", f"{text}です。")


def _word(word: Word) -> Word:
    return Word(f" {word.en}.", f"{word.ja}です。")


_MATHS: dict[str, Callable[[Fact], Word]] = {
    "change": _change,
    "comparison": _comparison,
    "pair": _pair,
}

_READING: dict[str, Callable[[Fact], list[Question]]] = {
    "change": _change_reading,
    "comparison": _comparison_reading,
    "pair": _pair_reading,
}
