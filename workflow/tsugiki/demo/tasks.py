"""The demo's lm-eval tasks: documents, and how an answer is scored.

A task's file may name a `seed` in its `dataset_kwargs`: other seeds pose other questions.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

from datasets import Dataset

from tsugiki.demo.documents import draw_reading, prompt
from tsugiki.demo.stories import Question, maths_question
from tsugiki.demo.world import Fact, Language, draw_fact
from tsugiki.keyed import generator

DOCUMENTS = 2000
"""Of each task."""
SCRIPTS = {"en": ("LATIN",), "ja": ("HIRAGANA", "KATAKANA", "CJK", "IDEOGRAPHIC")}
"""How the Unicode names of a language's letters begin."""

Row = dict[str, Any]


def load_ja_maths(*, seed: int = 1, **_: Any) -> dict[str, Dataset]:
    """Maths problems in Japanese."""
    return _dataset("maths", "ja", seed)


def load_en_maths(*, seed: int = 1, **_: Any) -> dict[str, Dataset]:
    """The same maths problems in English."""
    return _dataset("maths", "en", seed)


def load_ja_reading(*, seed: int = 1, **_: Any) -> dict[str, Dataset]:
    """Reading questions in Japanese."""
    return _dataset("reading", "ja", seed)


def load_en_reading(*, seed: int = 1, **_: Any) -> dict[str, Dataset]:
    """The same reading questions in English."""
    return _dataset("reading", "en", seed)


def score_maths(doc: Row, results: list[str]) -> dict[str, float]:
    """Score an answer to a maths problem.

    Returns:
        `exact_match`: the number is right and the answer is in the question's language.
        `number`: the last number in the answer is right. `language`: the answer is in the
        question's language. `parsed`: the answer holds a number.
    """
    answer = results[0]
    number = last_number(answer)
    right = number == doc["number"]
    language = is_in_language(answer, doc["language"])
    return {
        "exact_match": float(right and language),
        "number": float(right),
        "language": float(language),
        "parsed": float(number is not None),
    }


def score_reading(doc: Row, results: list[str]) -> dict[str, float]:
    """Score an answer to a reading question.

    Returns:
        `exact_match`: the answer is the expected text, up to spaces around it.
    """
    return {"exact_match": float(results[0].strip() == doc["target"].strip())}


def last_number(text: str) -> int | None:
    """The last run of digits in a text, full-width digits included; None if there is none."""
    found = re.findall(r"[0-9]+", unicodedata.normalize("NFKC", text))
    return int(found[-1]) if found else None


def is_in_language(text: str, language: Language) -> bool:
    """Whether more than half of a text's letters are of the scripts that the language is written in.

    Digits, signs and spaces do not count. Full-width and half-width forms count as their ordinary
    counterparts. A text without letters is in no language.
    """
    letters = [
        character
        for character in unicodedata.normalize("NFKC", text)
        if unicodedata.category(character).startswith(("L", "Nl"))
    ]
    inside = sum(unicodedata.name(letter, "").startswith(SCRIPTS[language]) for letter in letters)
    return inside > len(letters) / 2


def rows(kind: str, language: Language, count: int, seed: int = 1) -> list[Row]:
    """Distinct held-out documents; the same facts and questions in either language.

    Args:
        kind: `maths` or `reading`.
        language: In which they are asked.
        count: How many.
        seed: Which ones.
    """
    return [
        {
            "prompt": prompt(fact, question, language),
            "target": question.answer[language],
            "number": fact.result if kind == "maths" else None,
            "language": language,
        }
        for fact, question in _posed(kind, count, seed)
    ]


@cache
def _posed(kind: str, count: int, seed: int) -> tuple[tuple[Fact, Question], ...]:
    """What the documents of both languages ask."""
    rng = generator("demo-task", kind, *([seed] if seed != 1 else []))
    chosen: dict[str, tuple[Fact, Question]] = {}
    while len(chosen) < count:
        fact = draw_fact(rng, held_out=True)
        question = maths_question(fact) if kind == "maths" else draw_reading(rng, fact)
        # English texts identify a document in both languages, so that the two tasks are parallel.
        chosen.setdefault(prompt(fact, question, "en"), (fact, question))
    return tuple(chosen.values())


def _dataset(kind: str, language: Language, seed: int) -> dict[str, Dataset]:
    return {"test": Dataset.from_list(rows(kind, language, DOCUMENTS, seed))}
