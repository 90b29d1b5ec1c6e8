"""Which models are scored on which documents at the end."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.config.run import Preference
from tsugiki.config.stage import Stage
from tsugiki.contracts.outcome import Failed, Measured, Scored, SoFar
from tsugiki.contracts.population import Generation, Population, Ranked
from tsugiki.finalists.choose import (
    best_distinct,
    finalist_population,
    held_out_population,
    least_missing,
    pools,
    winner,
)
from tsugiki.keyed import generator
from tsugiki.strategies.cma_es import CmaEs

ZERO = "0" * 64
OBJECTIVES = [LmEvalObjective(name="maths", task="t", metric="x")]
STAGE = Stage.model_construct(strategy=CmaEs())


def ranked(index: int, recipe: str, fitness: float | None, items: int = 8) -> Ranked:
    """A candidate with its score."""
    digest = recipe * 64
    outcome: Scored | Failed = (
        Failed(recipe=digest, evaluation=ZERO, kind="model", reason="NaN")
        if fitness is None
        else Scored(
            recipe=digest,
            evaluation=ZERO,
            measured={"maths": Measured(value=fitness, items=items)},
            rates={},
            weights=ZERO,
            records=ZERO,
        )
    )
    return Ranked(id=f"000-{index:02d}", recipe=digest, fitness=fitness, outcome=outcome)


def generation(*found: tuple[str, float | None], phase: str = "ps", items: int = 8) -> Generation:
    """A ranked generation."""
    return Generation(
        run="r",
        phase=phase,
        generation=0,
        population=ZERO,
        ranked=tuple(ranked(index, *one, items) for index, one in enumerate(found)),
    )


def test_scores_on_documents_of_single_generations_do_not_compare() -> None:
    """A candidate that came again leads; of the others the last generation's, whose questions were harder."""

    def own(number: int, *found: tuple[str, float, int]) -> Generation:
        entries = []
        for index, (recipe, value, times) in enumerate(found):
            entry = ranked(index, recipe, value)
            assert isinstance(entry.outcome, Scored)
            so_far = SoFar(generations=times, measured=entry.outcome.measured)
            outcome = entry.outcome.model_copy(update={"so_far": so_far})
            place = {"outcome": outcome, "id": f"{number:03d}-{index:02d}"}
            entries.append(entry.model_copy(update=place))
        one = Generation(
            run="r", phase="ps", generation=number, population=ZERO, ranked=tuple(entries)
        )
        assert one.own_documents == number
        return one

    history = [
        own(0, ("a", 0.9, 1), ("b", 0.5, 1)),
        own(1, ("c", 0.8, 1), ("d", 0.7, 1)),
        own(2, ("e", 0.3, 1), ("f", 0.4, 1), ("b", 0.2, 2)),
    ]
    chosen = best_distinct(history, 4, STAGE, OBJECTIVES)
    assert [one.recipe[0] for one in chosen] == ["b", "f", "e", "c"]


def test_each_stages_finalists_are_scored_on_validation_items() -> None:
    """Under the name of their own phase; the mean only if it is another recipe."""
    history = [generation(("a", 0.2), ("b", None), ("c", 0.9), ("a", 0.2), ("d", 0.5))]
    chosen = best_distinct(history, 2, STAGE, OBJECTIVES)
    assert [one.recipe[0] for one in chosen] == ["c", "d"]
    population = finalist_population("r", chosen, "e" * 64, OBJECTIVES, phase="finalists-ps")
    assert (population.phase, population.split) == ("finalists-ps", "validation")
    names = [one.origin["name"] for one in population.candidates]
    assert names == ["candidate 000-02", "candidate 000-04", "final mean"]
    same = finalist_population("r", chosen, "c" * 64, OBJECTIVES)
    assert (same.phase, len(same.candidates)) == ("finalists", 2)


def test_the_held_out_test_has_the_winners_of_all_stages() -> None:
    """The last stage's is the run's, and comes first; the others are rows of their own kind."""
    finals = generation(("a", 0.2), ("c", 0.9), phase="finalists")
    chosen = best_distinct([finals], 2, STAGE, OBJECTIVES)
    finalists = finalist_population("r", chosen, None, OBJECTIVES)
    assert winner(finalists, finals).recipe == "c" * 64
    population = held_out_population(
        "r", finalists, finals, {"average": ("baseline", "f" * 64)}, {"ps": "e" * 64}
    )
    rows = [
        (one.origin["name"], one.origin["kind"], one.recipe[0]) for one in population.candidates
    ]
    assert rows == [
        ("evolved", "evolved", "c"),
        ("candidate 000-00", "finalist", "a"),
        ("ps", "stage", "e"),
        ("average", "baseline", "f"),
    ]
    assert population.split == "test"


def chosen_of(
    search: dict[str, float], validation: dict[str, float | None], *, before: int = 8, now: int = 8
) -> str:
    """The winner of some finalists; those without a search score are the search's final mean."""
    history = generation(*search.items(), items=before)
    (mean,) = validation.keys() - search.keys() or {None}
    chosen = best_distinct([history], len(search), STAGE, OBJECTIVES)
    finalists = finalist_population("r", chosen, mean and mean * 64, OBJECTIVES)
    order = [candidate.recipe[0] for candidate in finalists.candidates]
    finals = generation(*((one, validation[one]) for one in order), phase="finalists", items=now)
    return winner(finalists, finals).recipe[0]


def test_candidates_are_compared_on_search_and_validation_items_together() -> None:
    """0.5 and 0.75 are as good as 0.75 and 0.5, and worse than 0.7 twice; more items count for more."""
    search = {"a": 0.75, "b": 0.7, "c": 0.5}
    validation: dict[str, float | None] = {"a": 0.5, "b": 0.7, "c": 0.75}
    assert chosen_of(search, validation) == "b"
    assert chosen_of(search, validation, now=80) == "c"
    assert chosen_of(search, validation, before=800) == "a"
    assert chosen_of(search, validation | {"b": None}) == "a"


def test_the_final_mean_wins_if_it_does_as_well_on_the_validation_items() -> None:
    """As the best candidate of the search, and not as whoever was lucky on the validation items."""
    search = {"a": 0.75, "b": 0.5}
    validation: dict[str, float | None] = {"a": 0.6, "b": 0.65}
    assert chosen_of(search, validation | {"e": 0.6}) == "e"
    assert chosen_of(search, validation | {"e": 0.59}) == "a"
    assert chosen_of(search, {"a": None, "b": None, "e": 0.1}) == "e"


def test_runs_that_recorded_no_search_scores_keep_the_winner_of_the_validation_items() -> None:
    """Their finalists say nothing of the search."""
    finals = generation(("a", 0.4), ("c", 0.5), ("e", 0.5), phase="finalists")
    chosen = best_distinct([generation(("a", 0.9), ("c", 0.2))], 2, STAGE, OBJECTIVES)
    today = finalist_population("r", chosen, "e" * 64, OBJECTIVES)
    before = today.model_copy(
        update={
            "candidates": tuple(
                one.model_copy(update={"origin": {"name": "n", "kind": "finalist"}})
                for one in today.candidates
            )
        }
    )
    assert pools(today)
    assert not pools(before)
    assert winner(before, finals).recipe == "c" * 64


def bounded(
    bounds: dict[str, float],
    values: dict[str, tuple[float, float]],
    *,
    by: Literal["weights", "knee"] = "weights",
    searched: dict[str, tuple[float, float]] | None = None,
) -> tuple[str, float]:
    """The winner by both objectives' values, by default the same in the search, and the least miss of all."""
    both = [
        LmEvalObjective(name="maths", task="t", metric="x"),
        LmEvalObjective(name="length", task="t", metric="y", goal="minimize", weight=0.01),
    ]

    def entry(index: int, recipe: str, values: dict[str, tuple[float, float]] = values) -> Ranked:
        maths, length = values[recipe]
        one = ranked(index, recipe, maths - 0.01 * length)
        assert isinstance(one.outcome, Scored)
        measured = {
            "maths": Measured(value=maths, items=8),
            "length": Measured(value=length, items=8),
        }
        return one.model_copy(
            update={"outcome": one.outcome.model_copy(update={"measured": measured})}
        )

    entries = tuple(entry(index, recipe) for index, recipe in enumerate(values))
    finals = generation().model_copy(update={"ranked": entries})
    preference = Preference(bounds=bounds, by=by) if bounds or by == "knee" else None
    before = [entry(index, recipe, searched or values) for index, recipe in enumerate(values)]
    finalists = finalist_population("r", before, None, both, preference=preference)
    again = Population.model_validate_json(finalists.model_dump_json())
    return winner(again, finals).recipe[0], least_missing(again, finals)


def test_the_weighted_sum_chooses_among_the_finalists_that_meet_the_bounds() -> None:
    """At least, or at most for what is minimised; if none meets them, those that miss them least."""
    values = {"a": (0.9, 20.0), "b": (0.7, 10.0), "c": (0.6, 1.0), "d": (0.3, 0.0)}
    assert bounded({}, values) == ("a", 0.0)
    assert bounded({"length": 10.0}, values) == ("b", 0.0)
    assert bounded({"length": 5.0, "maths": 0.2}, values) == ("c", 0.0)
    won, missing = bounded({"maths": 0.95, "length": 10.0}, values)
    assert won == "a"  # 0.05 + 0.01 * 10; "b" misses 0.25
    assert missing == pytest.approx(0.15)


def test_the_knee_of_the_finalists_front_wins_whatever_the_weights_say() -> None:
    """Normalised, "b" is at (2/3, 4/5), 0.47 beyond the line from (0, 1) to (1, 0), and "c" at (1/2, 1/2) on it."""
    values = {"a": (0.9, 20.0), "b": (0.7, 4.0), "c": (0.6, 10.0), "d": (0.3, 0.0), "e": (0.2, 9.0)}
    assert bounded({}, values)[0] == "a"
    assert bounded({}, values, by="knee")[0] == "b"
    assert bounded({"length": 3.0}, values, by="knee")[0] == "d"
    long = values | {"b": (0.7, 19.0)}
    assert bounded({}, long, by="knee")[0] != "b"
    assert bounded({}, long, by="knee", searched=values | {"b": (0.7, -15.0)})[0] == "b", (
        "both sets count"
    )


def test_finalists_without_a_preference_are_recorded_as_ever() -> None:
    """Nothing of bounds or a knee in the file."""
    text = finalist_population("r", [], None, OBJECTIVES).model_dump_json()
    assert "bounds" not in text
    assert "knee" not in text


def test_the_rule_finds_better_models_than_validation_items_alone() -> None:
    """Eight candidates taken for their search scores among 200: the sum of both sets knows more."""
    gain = []
    for repeat in range(60):
        random = generator("winner", repeat)
        truth = 0.5 + 0.02 * random.standard_normal(200)
        search = random.binomial(200, truth) / 200
        best = np.argsort(-search)[:8]
        validation = random.binomial(200, truth[best]) / 200
        letters = dict(zip("abcdef01", best.tolist(), strict=True))
        won = chosen_of(
            {letter: float(search[one]) for letter, one in letters.items()},
            dict(zip(letters, validation.tolist(), strict=True)),
            before=200,
            now=200,
        )
        gain.append(truth[letters[won]] - truth[best[validation.argmax()]])
    assert np.mean(gain) > 0
