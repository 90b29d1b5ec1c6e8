"""Questions in English of two kinds, and how two parents are trained to answer them.

Arithmetic word problems are answered with an equation and a sentence; reading questions as JSON. The task
that is searched on asks for the first kind answered the second way, which no parent was ever shown. Training,
search, validation and test questions differ in their words or their numbers; seeds pose other questions.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

NAMES = (
    "Tom", "Anna", "Ben", "Lucy", "Sam", "Mia", "Jack", "Emma", "Leo", "Sara", "Paul",
    "Nina", "Max", "Ella", "Hugo", "Rosa", "Ivan", "Kate", "Omar", "Lily"
)  # fmt: skip
THINGS = (
    "apples", "pears", "books", "coins", "cards", "stamps", "pencils", "marbles", "shells",
    "eggs", "cookies", "balloons", "stickers", "candles", "flowers"
)  # fmt: skip
PLACES = (
    "train", "school", "hotel", "museum", "ship", "village", "library", "farm", "zoo",
    "factory"
)  # fmt: skip
PARTS = (
    "wagons", "rooms", "windows", "doors", "teachers", "guests", "paintings", "sailors",
    "houses", "lamps", "cows", "tigers", "workers", "chairs", "clocks"
)  # fmt: skip

Question = dict[str, Any]
"""`question`, `work` (what leads to the answer) and `answer`, a whole number."""


def arithmetic(rng: random.Random) -> Question:
    """A word problem of one step."""
    one, other = rng.sample(NAMES, 2)
    thing, form = rng.choice(THINGS), rng.randrange(6)
    if form < 2:
        a, sign, b = rng.randint(3, 60), "+", rng.randint(2, 39)
        text = (
            f"{one} has {a} {thing}. {other} gives {one} {b} more. How many {thing} does {one} have now?",
            f"{one} has {a} {thing} and {other} has {b} {thing}. How many {thing} do they have together?",
        )[form]
    elif form < 4:
        a, sign = rng.randint(10, 80), "-"
        b = rng.randint(2, a - 2)
        text = (
            f"{one} has {a} {thing} and gives {b} of them to {other}. How many {thing} are left?",
            f"{one} needs {a} {thing}. {one} has {b} already. How many more {thing} does {one} need?",
        )[form - 2]
    else:
        a, sign, b = rng.randint(2, 9), "*", rng.randint(2, 9)
        text = (
            f"{one} has {a} boxes. Each box holds {b} {thing}. How many {thing} does {one} have?",
            f"{one} buys {a} {thing} every day. How many {thing} does {one} buy in {b} days?",
        )[form - 4]
    answer = {"+": a + b, "-": a - b, "*": a * b}[sign]
    return {"question": text, "work": f"{a} {sign} {b} = {answer}", "answer": answer}


def reading(rng: random.Random) -> Question:
    """A question whose answer stands in its text."""
    place = rng.choice(PLACES)
    (x, y, z), (a, b, c) = rng.sample(PARTS, 3), rng.sample(range(2, 99), 3)
    form = rng.randrange(4)
    text, work, answer = (
        (f"The {place} has {a} {x} and {b} {y}. How many {x} does it have?", f"{a} {x}", a),
        (f"The {place} has {a} {x} and {b} {y}. How many {y} does it have?", f"{b} {y}", b),
        (
            f"The {place} was built {a} years ago and has {b} {x}. What is the number of {x}?",
            f"{b} {x}",
            b,
        ),
        (f"The {place} has {a} {x}, {b} {y} and {c} {z}. How many {z} are there?", f"{c} {z}", c),
    )[form]
    return {"question": text, "work": work, "answer": answer}


KINDS = {"arithmetic": arithmetic, "reading": reading}


def draw(
    kind: str, count: int, key: str, without: AbstractSet[str] = frozenset()
) -> list[Question]:
    """Different questions of a kind.

    None of those in `without`; `key` is that of the random numbers.
    """
    rng, seen = random.Random(f"{kind} {key}"), set(without)  # noqa: S311 - questions
    found: list[Question] = []
    while len(found) < count:
        one = KINDS[kind](rng)
        if one["question"] not in seen:
            seen.add(one["question"])
            found.append(one)
    return found


HELD_OUT = 600
"""Questions of each kind that no parent is trained on."""


def held_out(kind: str, seed: int) -> list[Question]:
    """Questions for the search, validation and test."""
    return draw(kind, HELD_OUT, f"held out {seed}")


def training(kind: str, count: int, seed: int) -> list[Question]:
    """Questions to train on: none of those that are held out."""
    known = {one["question"] for one in held_out(kind, seed)}
    return draw(kind, count, f"training {seed}", known)


def as_sentence(one: Question) -> str:
    """How the parent `arithmetic` answers."""
    return f"{one['work']}\nThe answer is {one['answer']}."


def as_json(one: Question) -> str:
    """How the parent `json` answers."""
    return json.dumps({"work": one["work"], "answer": one["answer"]})


@dataclass(frozen=True)
class Skill:
    """What a parent is taught."""

    kind: Literal["arithmetic", "reading"]
    answer: Callable[[Question], str]
    steps: int
    rate: float
    rank: int | None = None
    """Of a LoRA adapter; None if the whole model is trained."""
    questions: int = 6000
    batch: int = 6


SKILLS = {
    "arithmetic": Skill("arithmetic", as_sentence, steps=150, rate=6e-5),
    "json": Skill("reading", as_json, steps=40, rate=1e-3, rank=16),
}
