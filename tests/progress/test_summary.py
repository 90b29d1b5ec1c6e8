"""Numbers of a generation, with and without failures."""

import pytest

from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.config.stage import Stage
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.contracts.population import Generation, Ranked
from tsugiki.progress.summary import only_score, summarise
from tsugiki.strategies.nsga2 import Nsga2
from tsugiki.strategies.random_search import RandomSearch

OBJECTIVES = [LmEvalObjective(name="m", task="t", metric="x")]


def generation(number: int, *scores: float | None) -> Generation:
    """A generation with these scores; None is a failure."""
    ranked = []
    for index, score in enumerate(scores):
        recipe = f"{number:032x}{index:032x}"
        outcome: Scored | Failed = Failed(
            recipe=recipe, evaluation="e", kind="model", reason="not finite"
        )
        if score is not None:
            outcome = Scored(
                recipe=recipe,
                evaluation="e",
                measured={"m": Measured(value=score, items=10)},
                rates={},
                weights="w",
                records="r",
            )
        name = f"{number:03d}-{index:02d}"
        ranked.append(Ranked(id=name, recipe=recipe, fitness=score, outcome=outcome))
    return Generation(run="r", phase="ps", generation=number, population="p", ranked=tuple(ranked))


def test_quartiles_mean_and_spread_leave_failures_out() -> None:
    """By hand for 0.1, 0.2, 0.3, 0.4, 0.5."""
    (summary,) = summarise([generation(0, 0.5, None, 0.1, 0.3, 0.2, 0.4)], OBJECTIVES)
    assert (summary.candidates, summary.failures) == (6, 1)
    assert summary.objectives == {}
    one = summary.fitness
    assert one is not None
    assert (one.best, one.lower, one.median, one.upper) == pytest.approx((0.5, 0.2, 0.3, 0.4))
    assert one.mean == pytest.approx(0.3)
    assert one.spread == pytest.approx(0.02**0.5)


def test_best_so_far_never_falls() -> None:
    """A worse generation and one without any score leave it as it was."""
    found = summarise(
        [generation(0, 0.2), generation(1, 0.6), generation(2, None, None), generation(3, 0.4)],
        OBJECTIVES,
    )
    courses = [one.fitness for one in found if one.fitness is not None]
    assert [one.best_so_far for one in courses] == [0.2, 0.6, 0.6, 0.6]
    assert [one.best for one in courses] == [0.2, 0.6, None, 0.4]


def test_the_front_is_of_all_generations_so_far() -> None:
    """(3, 1) and (1, 3) are on it, (2, 2) comes, and (4, 4) beats them all; it comes again, and is one candidate."""
    objectives = [*OBJECTIVES, LmEvalObjective(name="n", task="t", metric="y")]
    stage = Stage.model_construct(strategy=Nsga2(kind="nsga2"))
    generations = []
    for number, values in enumerate([[(3, 1), (1, 3), (1, 1)], [(2, 2), (0, 0)], [(4, 4)]]):
        one = generation(number, *(float(first) for first, _ in values))
        ranked = []
        for entry, (_, second) in zip(one.ranked, values, strict=True):
            assert isinstance(entry.outcome, Scored)
            measured = {**entry.outcome.measured, "n": Measured(value=float(second), items=10)}
            outcome = entry.outcome.model_copy(update={"measured": measured})
            ranked.append(entry.model_copy(update={"outcome": outcome}))
        generations.append(one.model_copy(update={"ranked": tuple(ranked)}))
    found = summarise([*generations, generations[-1]], objectives, stage)
    assert [one.front for one in found] == [2, 3, 1, 1]
    assert [one.objectives["n"].best_so_far for one in found] == [3.0, 3.0, 4.0, 4.0]
    assert {one.fitness for one in found} == {None}


def test_a_generation_of_equals_is_noticed() -> None:
    """Nothing can be selected from it; one candidate alone, or one failure, is another matter."""
    stage = Stage.model_construct(strategy=RandomSearch(kind="random"))
    assert only_score(generation(0, 0.0, 0.0, None), OBJECTIVES, stage) == (0.0,)
    assert only_score(generation(0, 0.0, 0.1), OBJECTIVES, stage) is None
    assert only_score(generation(0, 0.0, None), OBJECTIVES, stage) is None
    assert only_score(generation(0, None, None), OBJECTIVES, stage) is None
