"""Who goes on from a rung."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.config.items import Rungs
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.contracts.scores import Scores
from tsugiki.evolve.promote import AtRung, best_first, decide
from tsugiki.strategies.cma_es import CmaEs
from tsugiki.strategies.nsga2 import Nsga2
from tsugiki.strategies.rungs.rule import Rule, Standing

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


def test_a_rule_sees_every_document_of_every_candidate_larger_is_better() -> None:
    """Objectives that are minimised are negated, and failures are flagged."""
    seen: list[Standing] = []

    class LeaveTheSecond(Rule):
        """A rule of two."""

        kind: str = "second"

        def left(self, standing: Standing) -> list[str | None]:
            seen.append(standing)
            return [None, "worse", None]

    found = [scored("a", [[1, 3], [0, 5]]), scored("b", [[0, 4], [0, 8]]), FAILED]
    rungs = Rungs(documents=[2, 4]).model_copy(update={"rule": LeaveTheSecond()})
    assert decide(found, 0, rungs, OBJECTIVES, CmaEs(), 4) == [None, "worse", "failed: model"]
    (standing,) = seen
    np.testing.assert_array_equal(standing.scores.values, [[0.5, -4], [0, -6], [np.nan, np.nan]])
    np.testing.assert_array_equal(standing.by_document[0], [[1, -3], [0, -5]])
    assert standing.by_document.shape == (3, 2, 2)
    assert np.isnan(standing.by_document[2]).all()
    assert standing.scores.failed.tolist() == [False, False, True]
    assert standing.documents == (2, 4)
    assert standing.scores.weights.tolist() == [2.0, 1.0]
    assert (standing.candidates, standing.order, standing.weighs) == (4, (0, 1), True)


def test_the_rule_none_leaves_only_what_has_failed() -> None:
    """However bad the others are."""
    found = [scored("a", [[1, 3]]), scored("b", [[0, 900]]), FAILED]
    decided = decide(found, 0, Rungs(documents=[1, 2]), OBJECTIVES, CmaEs(), 3)
    assert decided == [None, None, "failed: model"]


def test_where_all_have_failed_nobody_goes_on() -> None:
    """And the rule has nothing to stumble over."""
    for rule in ("none", "halving", "racing"):
        rungs = Rungs(documents=[1, 2], rule=rule)
        assert decide([FAILED], 0, rungs, OBJECTIVES, CmaEs(), 1) == ["failed: model"]


def test_a_pareto_strategy_prefers_front_after_front() -> None:
    """And who is best by the weighted sum does not matter."""
    values = np.array([[0.0, 0.0], [1.0, 0.2], [0.2, 1.0], [0.9, 0.1], [np.nan, np.nan]])
    scores = Scores(values, np.isnan(values[:, 0]), np.array([1.0, 1.0]))
    order = best_first(Nsga2(kind="nsga2"), scores)
    assert set(order[:2]) == {1, 2}
    assert order[2:] == [3, 0]


def test_rules_are_written_by_name_or_with_settings_and_a_name_alone_stays_one() -> None:
    """So that configurations from before there were settings keep their keys."""
    assert Rungs(documents=[1, 2]).model_dump(mode="json")["rule"] == "none"
    assert Rungs(documents=[1, 2], rule="halving") == Rungs(
        documents=[1, 2], rule={"kind": "halving", "eta": 2}
    )
    racing = Rungs(documents=[1, 2], rule={"kind": "racing", "alpha": 0.1})
    assert racing.model_dump(mode="json")["rule"] == {"kind": "racing", "alpha": 0.1, "keep": 0.5}
    assert Rungs(**racing.model_dump(mode="json")) == racing


@pytest.mark.parametrize("wrong", [{"documents": [4, 4]}, {"documents": [4, 2]}, {"documents": []}])
def test_rungs_that_do_not_ascend_are_refused(wrong: dict[str, Any]) -> None:
    """Each one has the documents of the one before, and more."""
    with pytest.raises(ValueError, match="documents"):
        Rungs(**wrong)


def test_an_unknown_rule_is_refused_with_the_known_ones() -> None:
    """By name."""
    with pytest.raises(ValueError, match="'none', 'halving', 'racing'"):
        Rungs(documents=[1, 2], rule="nobody")
