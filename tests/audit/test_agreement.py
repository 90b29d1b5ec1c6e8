"""What other hardware explains is told from what it does not, item by item."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tsugiki.audit.agreement import Agreement, Circumstances, compare, favours
from tsugiki.contracts.outcome import Failed, Measured, Scored

TEXT = "first ten minus three which is seven"


def scored(**changes: Any) -> Scored:
    """An outcome."""
    fields: dict[str, Any] = {
        "recipe": "r" * 64,
        "evaluation": "e" * 64,
        "measured": {"ja": Measured(value=0.5, items=40)},
        "rates": {},
        "weights": "w" * 64,
        "records": "p" * 64,
    }
    return Scored(**(fields | changes))


def rows(**changes: Any) -> list[dict[str, Any]]:
    """Forty documents, every other one right; `changes` are those of the first."""
    its = [
        {
            "objective": "ja",
            "doc_id": number,
            "doc_hash": f"d{number}",
            "prompt_hash": f"p{number}",
            "target": "7",
            "response": TEXT,
            "tokens": 7,
            "value": float(number % 2),
        }
        for number in range(40)
    ]
    its[0].update(changes)
    return its


def choices(*likelihoods: float) -> dict[str, Any]:
    """A document of a task with choices."""
    return {"response": json.dumps(likelihoods), "tokens": 0}


def agreement(
    recorded: dict[str, Any], again: dict[str, Any], known: Circumstances | None = None
) -> Agreement:
    """Of two records that differ in the first document."""
    return compare(
        "ps/candidates/cand",
        (scored(), rows(**recorded)),
        (scored(), rows(**again)),
        known or Circumstances(),
    )


def test_the_same_rows_agree() -> None:
    """All of them are counted."""
    found = agreement({}, {})
    assert (found.verdict, found.items, found.answers) == ("agrees", 40, 0)


@pytest.mark.parametrize(
    ("recorded", "again", "said"),
    [
        ({"value": 1.0}, {}, "another score of the same answer"),
        ({"prompt_hash": "other"}, {}, "another prompt_hash"),
        ({"target": "8"}, {}, "another target"),
        (choices(-1.0, -4.0) | {"value": 1.0}, choices(-4.0, -1.0), "differs by 3"),
        (choices(-1.0, -4.0) | {"value": 1.0}, choices(-1.0, -4.0), "score of the same answer"),
        ({"response": None, "value": 3.0}, {"response": None, "value": 4.0}, "differs by 1"),
        ({"doc_id": 99}, {}, "asked once only"),
    ],
)
def test_what_no_hardware_does_contradicts(
    recorded: dict[str, Any], again: dict[str, Any], said: str
) -> None:
    """Prompts, targets, scores of the same answer, log-likelihoods far from each other."""
    found = agreement(recorded, again)
    assert found.verdict == "contradicts"
    assert said in str(found)


@pytest.mark.parametrize(
    ("recorded", "again"),
    [
        (choices(-2.01, -2.02) | {"value": 1.0}, choices(-2.02, -2.01)),
        (choices(-2.01, -2.02), choices(-2.02, -2.01)),
        ({"response": f"{TEXT} or six", "value": 1.0}, {}),
        ({"response": None, "value": 3.0001}, {"response": None, "value": 3.0}),
    ],
)
def test_what_rounding_does_is_told_apart_from_that(
    recorded: dict[str, Any], again: dict[str, Any]
) -> None:
    """Near ties, texts that part, sums that moved a little; not if the machine is the same."""
    assert agreement(recorded, again).verdict == "rounding"
    same = Circumstances(machine="host node-1")
    found = agreement(recorded, again, same)
    assert found.verdict == "contradicts"
    assert "host node-1" in str(found)


def test_the_size_of_differences_is_said() -> None:
    """The share of a text that is the same, and the largest step of a log-likelihood."""
    longer = TEXT + TEXT
    assert agreement({"response": longer}, {}).earliest == pytest.approx(0.5)
    assert agreement(choices(-2.0, -3.1), choices(-2.05, -3.0)).largest == pytest.approx(0.1)


def test_other_weights_contradict_whatever_the_items_say() -> None:
    """Merging is bit-exact on all machines."""
    its = ("c", (scored(), rows()), (scored(weights="x" * 64), rows()), Circumstances())
    found = compare(*its)
    assert found.verdict == "contradicts"
    assert "merged weights" in str(found)


def test_many_changed_scores_are_more_than_rounding() -> None:
    """A tenth of the items may change, whatever the answers look like."""
    again = rows()
    for row in again[:5]:
        row.update(response="six", value=1.0 - row["value"])
    found = compare("c", (scored(), rows()), (scored(), again), Circumstances())
    assert (found.verdict, found.better, found.worse) == ("contradicts", 2, 3)


def test_another_evaluation_is_no_proof_of_the_same_machine() -> None:
    """Other versions of a library may answer otherwise on the same machine, too."""
    again = rows(response="six")
    its = (scored(), rows()), (scored(evaluation="f" * 64), again)
    found = compare("c", *its, Circumstances(machine="host node-1"))
    assert found.verdict == "rounding"
    assert "another evaluation" in str(found)


def test_a_judge_may_change_its_mind() -> None:
    """The same answer has another score where it does not follow from the answer alone."""
    assert agreement({"value": 1.0}, {}, Circumstances(loose=["ja"])).verdict == "rounding"


def test_a_stated_value_that_does_not_follow_from_the_same_items_contradicts() -> None:
    """The rows agree, the outcome's own number does not."""
    then = scored(measured={"ja": Measured(value=0.9, items=40)})
    found = compare("c", (then, rows()), (scored(), rows()), Circumstances())
    assert found.verdict == "contradicts"


def test_a_failure_agrees_with_one_of_its_kind() -> None:
    """And with no score."""
    failed = Failed(recipe="r", evaluation="e", kind="model", reason="no numbers")
    assert compare("c", (failed, []), (failed, []), Circumstances()).verdict == "agrees"
    other = compare("c", (scored(), rows()), (failed, []), Circumstances())
    assert other.verdict == "contradicts"


def test_changes_that_favour_the_record_are_no_rounding() -> None:
    """Ten of ten have a probability of 1/1024 if each way is as likely; nine of ten of 11/1024."""
    ten = [Agreement("c", "rounding", better=5)] * 2
    assert favours(ten) is not None
    assert favours([*ten, Agreement("c", "rounding", worse=10)]) is None
    assert favours([Agreement("c", "rounding", better=9, worse=1)]) is None
    assert favours([]) is None
