"""Who comes again, and which documents tell nothing apart, where each generation has documents of its own."""

from __future__ import annotations

from typing import Any

from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.contracts.outcome import Failed, Measured, Scored, SoFar
from tsugiki.contracts.population import Ranked
from tsugiki.evolve.subsets import answered_alike, improves, leaders
from tsugiki.strategies.cma_es import CmaEs

OBJECTIVES = [LmEvalObjective(name="right", task="t", metric="acc,none", goal="maximize")]


def ranked(recipe: str, here: float, mean: float | None = None, times: int = 1) -> Ranked:
    """A candidate with its value on this generation's documents, and the mean over all so far."""
    of = {"right": Measured(value=here, items=10)}
    so_far = SoFar(
        generations=times, measured={"right": Measured(value=mean or here, items=10 * times)}
    )
    made = {"evaluation": "e", "weights": "w", "records": "r", "rates": {}}
    outcome = Scored(recipe=recipe, measured=of, so_far=so_far, **made)
    return Ranked(id=recipe, recipe=recipe, fitness=here, outcome=outcome)


FAILED = Ranked(
    id="x",
    recipe="x",
    fitness=None,
    outcome=Failed(recipe="x", evaluation="e", kind="model", reason="NaN"),
)
GENERATION = [
    ranked("lucky", 0.9),
    FAILED,
    ranked("fair", 0.6),
    ranked("lucky", 0.9),
    ranked("poor", 0.1),
    ranked("old", 0.2, 0.7, 5),
    ranked("older", 0.8, 0.5, 9),
    ranked("oldest", 0.9, 0.4, 11),
]


def chosen(count: int, generation: list[Ranked] = GENERATION) -> list[str]:
    """Recipes of the leaders."""
    return [generation[one].recipe for one in leaders(generation, count, CmaEs(), OBJECTIVES)]


def test_half_are_the_best_by_the_mean_and_half_the_best_newcomers() -> None:
    """However lucky newcomers were, and whatever old ones did on these documents; each recipe once."""
    assert chosen(4) == ["old", "older", "lucky", "fair"]
    assert chosen(3) == ["old", "lucky", "fair"]
    assert chosen(0) == []


def test_places_that_one_side_cannot_fill_go_to_the_other() -> None:
    """In a first generation nobody came again, and there may be few newcomers."""
    assert chosen(4, GENERATION[:5]) == ["lucky", "fair", "poor"]
    assert chosen(4, GENERATION[4:]) == ["old", "older", "oldest", "poor"]


def test_a_search_gets_on_when_a_former_newcomer_has_the_best_mean() -> None:
    """Once it came again: the luck of one generation is no progress."""
    assert not improves(GENERATION, CmaEs(), OBJECTIVES)
    assert improves([*GENERATION, ranked("new", 0.4, 0.75, 2)], CmaEs(), OBJECTIVES)
    assert not improves([*GENERATION, ranked("new", 0.9, 0.65, 2)], CmaEs(), OBJECTIVES)
    assert not improves([FAILED], CmaEs(), OBJECTIVES)


POOL = {"maths": [2, 4, 6, 8], "words": [1, 3]}


def answers(**changes: Any) -> dict[tuple[str, int], Any]:
    """Somebody who answers everything right, but for changes such as `maths_4`."""
    right = dict.fromkeys([(task, one) for task, of in POOL.items() for one in of], 1.0)
    for name, value in changes.items():
        task, _, document = name.partition("_")
        right[task, int(document)] = value
    return right


def test_documents_on_which_somebody_differs_are_kept() -> None:
    """All right, or all wrong, is left out."""
    found = answered_alike(
        [answers(maths_2=0.0), answers(maths_2=0.0, maths_4=0.0), answers(maths_2=0.0)], POOL, 1
    )
    assert found == {"maths": [2, 6, 8], "words": [1]}


def test_enough_documents_are_kept_for_a_generation() -> None:
    """Whatever they tell."""
    assert answered_alike([answers(), answers()], POOL, 3) == {"maths": [2]}


def test_a_document_that_somebody_was_not_asked_is_kept() -> None:
    """As are all, where nobody was asked anything."""
    some = {place: one for place, one in answers().items() if place != ("words", 3)}
    assert answered_alike([answers(), some], POOL, 0) == {"maths": [2, 4, 6, 8], "words": [1]}
    assert answered_alike([], POOL, 0) == {}
