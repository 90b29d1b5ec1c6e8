"""What a search is told of its candidates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies.scored import scored as scores
from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.contracts.scores import Scores, further_first, scores_of, weighted_sum
from tsugiki.errors import LineageError

ZERO = "0" * 64
OBJECTIVES = [
    LmEvalObjective(name="right", task="t", metric="acc,none", weight=2.0),
    LmEvalObjective(name="perplexity", task="t", metric="ppl,none", goal="minimize", weight=0.5),
]
FAILED = Failed(recipe=ZERO, evaluation=ZERO, kind="model", reason="its logits are not finite")


def scored(**values: float) -> Scored:
    """A candidate with these scores."""
    return Scored(
        recipe=ZERO,
        evaluation=ZERO,
        measured={name: Measured(value=value, items=4) for name, value in values.items()},
        rates={},
        weights=ZERO,
        records=ZERO,
    )


def test_larger_is_better_and_failures_are_no_numbers() -> None:
    """A column for each objective, costs negated; weights as configured."""
    found = scores_of([scored(right=0.75, perplexity=3.0), FAILED], OBJECTIVES)
    assert found.values[0].tolist() == [0.75, -3.0]
    assert np.isnan(found.values[1]).all()
    assert found.failed.tolist() == [False, True]
    assert found.weights.tolist() == [2.0, 0.5]
    assert scores_of([], OBJECTIVES).values.shape == (0, 2)


def test_a_score_of_zero_is_no_failure() -> None:
    """Neither of one objective nor of several."""
    assert scores_of([scored(right=0.0, perplexity=0.0)], OBJECTIVES).failed.tolist() == [False]


def test_an_outcome_without_an_objective_is_refused() -> None:
    """It was scored by another configuration."""
    with pytest.raises(LineageError, match="lacks an objective") as caught:
        scores_of([scored(right=0.5)], OBJECTIVES)
    assert caught.value.expected == "perplexity"


def test_the_sum_is_weighted_with_costs_subtracted() -> None:
    """Twice 0.75, less half of 3."""
    found = scores_of(
        [scored(right=0.75, perplexity=3.0), scored(right=0.75, perplexity=2.0)], OBJECTIVES
    )
    assert weighted_sum(found).tolist() == [0.0, 0.5]


def test_failures_lie_below_every_score() -> None:
    """By the whole spread of the generation, so that the search feels them."""
    assert weighted_sum(scores([0.9, 0.0, 0.2], [1])).tolist() == [0.9, 0.2 - 0.7, 0.2]
    assert weighted_sum(scores([0.5, 0.0], [1])).tolist() == [0.5, -0.5]
    assert weighted_sum(scores([0.0, 0.0], [0, 1])).tolist() == [0.0, 0.0]


@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6, allow_nan=False)), min_size=1, max_size=40)
)
def test_weighted_sums_are_finite_and_keep_the_order(values: list[float | None]) -> None:
    """Scores are passed on as they are; all failures are equal, and last."""
    failed = [index for index, value in enumerate(values) if value is None]
    found = weighted_sum(scores([value or 0.0 for value in values], failed))
    assert np.isfinite(found).all()
    known = [value for value in values if value is not None]
    for value, given_ in zip(values, found, strict=True):
        if value is not None:
            assert given_ == value
        elif known:
            assert given_ < min(known)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_cannot_be_written_down(value: float) -> None:
    """NaN compares greater than everything in DEAP, so it never gets that far."""
    with pytest.raises(ValueError, match="finite"):
        Measured(value=value, items=1)


def test_who_came_further_is_ahead_on_every_objective_whatever_the_scores() -> None:
    """Those that were left keep their order, failures stay flagged, whole scores stay as they are."""
    values = np.array(
        [[1.0, -4.0], [0.5, -9.0], [9.0, 0.0], [8.0, -1.0], [99.0, 99.0], [np.nan, np.nan]]
    )
    failed = np.array([False] * 5 + [True])
    scores = Scores(values=values, failed=failed, weights=np.array([1.0, 1.0]))
    lowered = further_first(scores, [None, None, 1, 1, 0, 0])
    assert lowered.whole.tolist() == [True, True, False, False, False, False]
    found = lowered.values
    np.testing.assert_array_equal(found[:2], values[:2])
    assert (found[2:4].max(axis=0) < values[:2].min(axis=0)).all()
    assert (found[4] < found[2:4].min(axis=0)).all()
    np.testing.assert_allclose(found[2] - found[3], values[2] - values[3])
    assert np.isnan(found[5]).all()


def test_without_rungs_scores_stay_as_they_are() -> None:
    """To the bit."""
    scores = scores_of([scored(right=0.75, perplexity=3.0), FAILED], OBJECTIVES)
    assert further_first(scores, [None, None]) is scores
    assert scores.whole.tolist() == [True, False]
