"""Who goes on from a rung."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tsugiki.config.evaluation import LmEvalObjective, Rungs
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.evolve.promote import AtRung, decide
from tsugiki.strategies.rungs.registry import RULES
from tsugiki.strategies.rungs.rule import Standing

OBJECTIVES = [
    LmEvalObjective(name="right", task="t", metric="acc,none", weight=2.0),
    LmEvalObjective(name="surprise", task="t", metric="ppl,none", goal="minimize"),
]


def scored(recipe: str, numbers: list[list[float]]) -> AtRung:
    """A candidate with numbers of shape (documents, objectives)."""
    table = np.array(numbers)
    measured = {
        one.name: Measured(value=float(values.mean()), items=len(values))
        for one, values in zip(OBJECTIVES, table.T, strict=True)
    }
    made = {"weights": "w", "records": "r", "rates": {}, "rung": 0}
    return AtRung(
        recipe, Scored(recipe=recipe, evaluation="e", measured=measured, **made), "d", table
    )


FAILED = AtRung(
    "c", Failed(recipe="c", evaluation="e", kind="model", reason="NaN", rung=0), "d", None
)


def test_a_rule_sees_every_document_of_every_candidate_larger_is_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Objectives that are minimised are negated, and failures are flagged."""
    seen: list[Standing] = []

    def leave_the_second(standing: Standing) -> list[str | None]:
        seen.append(standing)
        return [None, "worse", None]

    monkeypatch.setitem(RULES, "second", leave_the_second)
    found = [scored("a", [[1, 3], [0, 5]]), scored("b", [[0, 4], [0, 8]]), FAILED]
    rungs = Rungs(documents=[2, 4], rule="second")
    assert decide(found, 0, rungs, OBJECTIVES) == [None, "worse", "failed: model"]
    (standing,) = seen
    np.testing.assert_array_equal(standing.scores.values, [[0.5, -4], [0, -6], [np.nan, np.nan]])
    np.testing.assert_array_equal(standing.by_document[0], [[1, -3], [0, -5]])
    assert standing.by_document.shape == (3, 2, 2)
    assert np.isnan(standing.by_document[2]).all()
    assert standing.scores.failed.tolist() == [False, False, True]
    assert standing.documents == (2, 4)
    assert standing.scores.weights.tolist() == [2.0, 1.0]


def test_the_rule_none_leaves_only_what_has_failed() -> None:
    """However bad the others are."""
    found = [scored("a", [[1, 3]]), scored("b", [[0, 900]]), FAILED]
    assert decide(found, 0, Rungs(documents=[1, 2]), OBJECTIVES) == [None, None, "failed: model"]


def test_where_all_have_failed_nobody_goes_on() -> None:
    """And the rule has nothing to stumble over."""
    assert decide([FAILED], 0, Rungs(documents=[1, 2]), OBJECTIVES) == ["failed: model"]


@pytest.mark.parametrize("wrong", [{"documents": [4, 4]}, {"documents": [4, 2]}, {"documents": []}])
def test_rungs_that_do_not_ascend_are_refused(wrong: dict[str, Any]) -> None:
    """Each one has the documents of the one before, and more."""
    with pytest.raises(ValueError, match="documents"):
        Rungs(**wrong)


def test_an_unknown_rule_is_refused_with_the_known_ones() -> None:
    """By name."""
    with pytest.raises(ValueError, match="there are: none"):
        Rungs(documents=[1, 2], rule="nobody")
