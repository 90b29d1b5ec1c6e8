"""What MLflow is told, checked without MLflow."""

import math
from datetime import UTC, datetime

from tests.progress.test_summary import OBJECTIVES, generation
from tsugiki.contracts.outcome import Cost, Failed, Measured, Scored
from tsugiki.contracts.population import Candidate, Ranked
from tsugiki.contracts.recipe import Parameter, ParentRef, Recipe
from tsugiki.progress.summary import summarise
from tsugiki.tracking.records import (
    candidate_record,
    generation_metrics,
    legal,
    milliseconds,
)

INSTANT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
PARENT = ParentRef(name="a", digest="a" * 64)


def recipe(groups: dict[str, float]) -> Recipe:
    """A merge of one parent."""
    return Recipe(
        method="linear",
        parents=(PARENT,),
        parameters={"weight": Parameter(values={"a": groups})},
        options={"normalize": True},
        owner="a",
    )


def candidate(**origin: str | list[str]) -> Candidate:
    """The first of generation 3."""
    return Candidate(id="003-00", recipe="f" * 64, genome=(), origin=origin)


def test_numbers_that_are_not_finite_are_left_out() -> None:
    """MLflow would store infinity as 1.8e308 and nobody could tell."""
    outcome = Scored(
        recipe="f" * 64,
        evaluation="e",
        measured={"m": Measured(value=0.5, items=2)},
        rates={"empty": 0.0},
        weights="w",
        records="r",
    )
    ranked = Ranked(id="003-00", recipe="f" * 64, fitness=0.5, outcome=outcome)
    cost = Cost(
        seconds_merge=math.nan,
        seconds_forward=math.inf,
        seconds_total=2.0,
        tokens=7,
        host="h",
        device="cpu",
        started=INSTANT,
        finished=INSTANT,
    )
    record = candidate_record(candidate(), ranked, recipe({"model": 1.0}), cost, INSTANT)
    assert record.metrics == {
        "fitness": 0.5,
        "objective.m": 0.5,
        "rate.empty": 0.0,
        "cost.seconds_total": 2.0,
        "cost.tokens": 7.0,
    }
    assert record.started == record.finished == 1_767_323_045_678


def test_who_was_left_at_a_rung_is_told_apart() -> None:
    """Its scores are on other documents than those of the others."""
    outcome = Scored(
        recipe="f" * 64,
        evaluation="e",
        measured={"m": Measured(value=0.5, items=2)},
        rates={},
        weights="w",
        records="r",
        rung=1,
    )
    ranked = Ranked(id="003-00", recipe="f" * 64, fitness=None, outcome=outcome)
    record = candidate_record(candidate(), ranked, recipe({"model": 1.0}), None, INSTANT)
    assert record.tags["tsugiki.rung"] == "1"
    whole = ranked.model_copy(update={"outcome": outcome.model_copy(update={"rung": None})})
    record = candidate_record(candidate(), whole, recipe({"model": 1.0}), None, INSTANT)
    assert "tsugiki.rung" not in record.tags


def test_long_reasons_are_cut_by_us_and_not_in_silence() -> None:
    """MLflow's own limit is longer; the whole reason is in outcome.json."""
    outcome = Failed(recipe="f" * 64, evaluation="e", kind="evaluation", reason="x" * 9000)
    ranked = Ranked(id="003-00", recipe="f" * 64, fitness=None, outcome=outcome)
    record = candidate_record(candidate(), ranked, recipe({"model": 1.0}), None, INSTANT)
    assert record.failed
    assert len(record.tags["tsugiki.failure.reason"]) == 5000


def test_parents_of_a_candidate_and_names_of_rows_are_tags() -> None:
    """A list is written with commas; the row's name is the run's."""
    outcome = Failed(recipe="f" * 64, evaluation="e", kind="model", reason="broken")
    ranked = Ranked(id="003-00", recipe="f" * 64, fitness=None, outcome=outcome)
    origin = candidate(name="evolved", parents=["002-01", "002-05"])
    record = candidate_record(origin, ranked, recipe({"model": 1.0}), None, INSTANT)
    assert record.name == "evolved"
    assert record.tags["tsugiki.origin.parents"] == "002-01, 002-05"
    assert record.tags["tsugiki.parent.a"] == "a" * 64
    assert record.params["option.normalize"] == "True"
    assert record.params["weight.a.model"] == "1.0"


def test_names_that_mlflow_refuses_are_replaced_and_stay_distinct() -> None:
    """Groups may be named by anything, such as a regular expression's text."""
    assert legal("weight.block.1") == "weight.block.1"
    assert legal("a*") != legal("a+")
    assert "*" not in legal("a*")
    assert "," not in legal("acc,none")


def test_a_generation_without_scores_has_counts_only() -> None:
    """No best, no mean, and no zero in their place."""
    (summary,) = summarise([generation(0, None, None)], OBJECTIVES)
    assert generation_metrics(summary, []) == {
        "failures": 2.0, "candidates": 2.0, "seconds": 0.0, "tokens": 0.0
    }  # fmt: skip


def test_times_are_whole_milliseconds() -> None:
    """MLflow's unit."""
    assert milliseconds(datetime(1970, 1, 1, 0, 0, 1, 1_499, tzinfo=UTC)) == 1001
