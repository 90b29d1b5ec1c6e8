"""Intervals and tests of a weighted sum, against those of the number that each document adds to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from tests.synthetic_runs import SyntheticRun
from tsugiki.config.evaluation import Evaluation, LmEvalObjective
from tsugiki.evaluate.aggregation import Aggregation, Aggregations
from tsugiki.evaluate.selection_bias import SELECTION_SPLITS, selection_bias
from tsugiki.evaluate.statistics import bootstrap_interval, exact_mcnemar
from tsugiki.finalists.measures import (
    WEIGHTED,
    Measure,
    Model,
    SampleScores,
    Term,
    measures_of,
)

GENERATOR = np.random.default_rng(5)


def scores(values: Sequence[float], documents: str = "a") -> SampleScores:
    """Scores on documents of one set."""
    hashes = tuple(f"{documents}{index}" for index in range(len(values)))
    return SampleScores(tuple(range(len(values))), hashes, np.array(values), tuple(values))


@pytest.fixture
def evaluation(finished: SyntheticRun) -> Evaluation:
    """Right answers count once; costs, which are to be small, a half."""
    objectives = [
        LmEvalObjective(name="right", task="t", metric="x"),
        LmEvalObjective(name="cost", task="t", metric="y", goal="minimize", weight=0.5),
    ]
    return finished.config.evaluation.model_copy(update={"objectives": objectives, "monitors": []})


def weighted(evaluation: Evaluation, aggregations: dict[str, str] | None = None) -> Measure:
    """The weighted sum of both."""
    known = Aggregations(evaluation)
    found = {name: known.find(name, of) for name, of in (aggregations or {}).items()}
    measure, *others = measures_of(evaluation, found, seed=1)
    assert [measure.name, *(one.name for one in others)] == [WEIGHTED, "right", "cost"]
    return measure


def model(documents: int, *, apart: bool = False, better: float = 0.0) -> Model:
    """Random scores on the same documents, or on sets of their own."""
    right = GENERATOR.random(documents) < 0.5 + better
    cost = GENERATOR.random(documents) + right
    return {
        "right": scores(right.astype(float).tolist()),
        "cost": scores(cost.tolist(), "b" if apart else "a"),
    }


def test_it_is_the_sum_by_weights_with_costs_subtracted(evaluation: Evaluation) -> None:
    """One of two right, at costs of 1 and 2."""
    one = {"right": scores([1.0, 0.0]), "cost": scores([1.0, 2.0])}
    measure = weighted(evaluation)
    assert measure.interval(one).value == 0.5 - 0.5 * 1.5
    assert measure.of({"right": 0.5, "cost": 1.5}) == -0.25
    assert measure.of({"right": 0.5}) is None
    assert measure.by_document(one).tolist() == [0.5, -1.0]


def test_objectives_of_the_same_documents_are_resampled_together(evaluation: Evaluation) -> None:
    """The interval is that of the mean of what each document adds to the sum."""
    one, measure = model(200), weighted(evaluation)
    found = measure.interval(one)
    expected = bootstrap_interval(measure.by_document(one), (1,))
    assert found.items == 200
    assert found.value == pytest.approx(expected.value)
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.1)


def test_objectives_of_other_documents_are_resampled_by_themselves(evaluation: Evaluation) -> None:
    """Variances add up, and all documents count."""
    one, measure = model(300, apart=True), weighted(evaluation)
    found = measure.interval(one)
    deviations = [one["right"].values.std(), 0.5 * one["cost"].values.std()]
    width = 2 * 1.96 * math.hypot(*deviations) / math.sqrt(300)
    assert found.items == 600
    assert found.high - found.low == pytest.approx(width, rel=0.1)


@pytest.mark.parametrize("apart", [False, True])
def test_differences_are_paired(evaluation: Evaluation, apart: bool) -> None:
    """A model against itself differs by nothing; against itself with one cost less, by that."""
    one, measure = model(100, apart=apart), weighted(evaluation)
    same = measure.difference(one, one)
    assert (same.value, same.low, same.high, measure.p(one, one)) == (0.0, 0.0, 0.0, 1.0)
    cheaper = {**one, "cost": scores((one["cost"].values - 0.2).tolist(), "b" if apart else "a")}
    less = measure.difference(cheaper, one)
    assert (less.value, less.low, less.high) == pytest.approx((0.1, 0.1, 0.1))
    assert measure.p(cheaper, one) == 1 / 1001


def test_p_values_are_those_of_the_exact_test_where_there_is_one(evaluation: Evaluation) -> None:
    """Equal costs, and right answers to 8 other documents against 2: McNemar's."""
    ours, theirs = ([1.0] * 8 + [0.0] * 2 + [1.0] * 5, [0.0] * 8 + [1.0] * 2 + [1.0] * 5)
    first, second = ({"right": scores(of), "cost": scores([1.0] * 15)} for of in (ours, theirs))
    assert weighted(evaluation).p(first, second) == pytest.approx(exact_mcnemar(8, 2), abs=0.04)


def test_scores_that_are_no_means_are_weighed_too(evaluation: Evaluation) -> None:
    """Word perplexities of another set of documents beside a mean."""
    parts = ((-2.0, 2), (-9.0, 3), (-4.0, 5))
    cost = SampleScores((0, 1, 2), ("x", "y", "z"), np.full(3, math.nan), parts)
    one = {"right": scores([1.0, 0.0, 1.0, 1.0]), "cost": cost}
    measure = weighted(evaluation, {"cost": "weighted_perplexity"})
    found = measure.interval(one)
    assert found.value == pytest.approx(0.75 - 0.5 * math.exp(15 / 10))
    assert found.low < found.value < found.high
    assert measure.difference(one, one).value == 0.0


def test_the_winners_curse_of_equal_models_is_that_of_their_sum(evaluation: Evaluation) -> None:
    """Copies of one model have none; of independent ones the best looks better than it is."""
    measure, one = weighted(evaluation), model(100)
    copies = measure.selection_bias([one, one, one])
    assert copies is not None
    assert copies[0] == pytest.approx(0.0, abs=1e-12)
    many = [model(100) for _ in range(30)]
    found = measure.selection_bias(many)
    assert found is not None
    assert found[0] > 0.02


def test_the_winners_curse_of_several_sets_does_not_depend_on_how_a_mean_is_told() -> None:
    """A mean that an aggregation makes, over documents of another set, has the bias of a plain one."""
    averaged = Aggregation("!function average", lambda parts: sum(parts) / len(parts))
    terms = (Term("right", None), Term("cost", averaged, -0.5))
    measure = Measure(WEIGHTED, 1.0, terms, seed=1)
    many = [model(size, apart=True) for size in [40] * 12]
    found = measure.selection_bias(many)
    sets = [
        np.stack([weight * one[name].values for one in many])
        for name, weight in (("right", 1.0), ("cost", -0.5))
    ]
    expected, _ = selection_bias(sets, (1, WEIGHTED), splits=SELECTION_SPLITS)
    assert found is not None
    assert found[0] == pytest.approx(expected)
    assert found[0] > 0
