"""What an answer is worth."""

from __future__ import annotations

import pytest

from tsugiki.smollm.questions import as_json, as_sentence, held_out
from tsugiki.smollm.tasks import score_json, score_sentence

RIGHT = '{"work": "2 + 3 = 5", "answer": 5'


@pytest.mark.parametrize(
    ("answer", "exact", "number", "parsed"),
    [
        (RIGHT, 1.0, 1.0, 1.0),
        (f"2 + 3 = 5\n{RIGHT}", 1.0, 1.0, 1.0),
        ('{"work": "2 + 3 = 6", "answer": 6', 0.0, 0.0, 1.0),
        ('{"work": "", "answer": 50', 0.0, 0.0, 1.0),
        ("2 + 3 = 5\nThe answer is 5.", 0.0, 1.0, 0.0),
        ('{"answer": 5', 0.0, 1.0, 0.0),
        ("", 0.0, 0.0, 0.0),
    ],
)
def test_only_the_right_number_in_the_right_json_counts(
    answer: str, exact: float, number: float, parsed: float
) -> None:
    """The brace that ends an answer is not in it."""
    scores = score_json({"answer": 5}, [answer])
    assert scores == {"exact_match": exact, "number": number, "parsed": parsed}


def test_what_parents_are_taught_is_right() -> None:
    """Each by its own task."""
    for one in held_out("arithmetic", 1)[:50]:
        assert score_sentence(one, [as_sentence(one)])["exact_match"] == 1.0
        assert score_json(one, [as_json(one).rstrip("}")])["exact_match"] == 1.0
        assert score_json(one, [as_sentence(one)])["exact_match"] == 0.0
