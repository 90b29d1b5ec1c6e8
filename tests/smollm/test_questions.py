"""Questions, and how parents are taught to answer them."""

from __future__ import annotations

import json
import operator
import re

import pytest

from tsugiki.smollm.questions import HELD_OUT, KINDS, as_json, as_sentence, held_out, training

SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


@pytest.mark.parametrize("kind", KINDS)
def test_no_parent_is_trained_on_a_question_that_is_held_out(kind: str) -> None:
    """Nor is any held out twice."""
    asked = {one["question"] for one in held_out(kind, 1)}
    assert len(asked) == HELD_OUT
    assert not asked & {one["question"] for one in training(kind, 2000, 1)}


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_pose_other_questions_and_one_seed_the_same(kind: str) -> None:
    """In the same order."""
    assert held_out(kind, 1) == held_out(kind, 1)
    shared = {one["question"] for one in held_out(kind, 1)} & {
        one["question"] for one in held_out(kind, 2)
    }
    assert len(shared) < HELD_OUT / 10


def test_arithmetic_is_right() -> None:
    """The equation holds, and its numbers are the question's."""
    for one in held_out("arithmetic", 1):
        found = re.fullmatch(r"(\d+) ([-+*]) (\d+) = (\d+)", one["work"])
        assert found is not None
        a, sign, b, result = found.groups()
        assert SIGNS[sign](int(a), int(b)) == int(result) == one["answer"]
        assert {a, b} <= set(re.findall(r"\d+", one["question"]))


def test_what_is_read_stands_in_the_text() -> None:
    """The number before the thing that is asked for."""
    for one in held_out("reading", 1):
        assert one["work"] in one["question"]
        assert one["work"].startswith(f"{one['answer']} ")


def test_answers_have_the_forms_that_the_tasks_look_for() -> None:
    """A sentence, and JSON that can be parsed."""
    one = {"question": "", "work": "2 + 3 = 5", "answer": 5}
    assert as_sentence(one) == "2 + 3 = 5\nThe answer is 5."
    assert json.loads(as_json(one)) == {"work": "2 + 3 = 5", "answer": 5}
