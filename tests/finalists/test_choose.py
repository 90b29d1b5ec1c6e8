"""Which models are scored on which documents at the end."""

from __future__ import annotations

from tsugiki.config.evaluation import LmEvalObjective
from tsugiki.config.stage import Stage
from tsugiki.contracts.outcome import Failed, Measured, Scored
from tsugiki.contracts.population import Generation, Ranked
from tsugiki.finalists.choose import best_distinct, finalist_population, held_out_population, winner
from tsugiki.strategies.cma_es import CmaEs

ZERO = "0" * 64
OBJECTIVES = [LmEvalObjective(name="maths", task="t", metric="x")]
STAGE = Stage.model_construct(strategy=CmaEs())


def ranked(index: int, recipe: str, fitness: float | None) -> Ranked:
    """A candidate with its score."""
    digest = recipe * 64
    outcome: Scored | Failed = (
        Failed(recipe=digest, evaluation=ZERO, kind="model", reason="NaN")
        if fitness is None
        else Scored(
            recipe=digest,
            evaluation=ZERO,
            measured={"maths": Measured(value=fitness, items=8)},
            rates={},
            weights=ZERO,
            records=ZERO,
        )
    )
    return Ranked(id=f"000-{index:02d}", recipe=digest, fitness=fitness, outcome=outcome)


def generation(*found: tuple[str, float | None], phase: str = "ps") -> Generation:
    """A ranked generation."""
    return Generation(
        run="r",
        phase=phase,
        generation=0,
        population=ZERO,
        ranked=tuple(ranked(index, *one) for index, one in enumerate(found)),
    )


def test_each_stages_finalists_are_scored_on_validation_items() -> None:
    """Under the name of their own phase; the mean only if it is another recipe."""
    history = [generation(("a", 0.2), ("b", None), ("c", 0.9), ("a", 0.2), ("d", 0.5))]
    chosen = best_distinct(history, 2, STAGE, OBJECTIVES)
    assert [one.recipe[0] for one in chosen] == ["c", "d"]
    population = finalist_population("r", chosen, "e" * 64, phase="finalists-ps")
    assert (population.phase, population.split) == ("finalists-ps", "validation")
    names = [one.origin["name"] for one in population.candidates]
    assert names == ["candidate 000-02", "candidate 000-04", "final mean"]
    same = finalist_population("r", chosen, "c" * 64)
    assert (same.phase, len(same.candidates)) == ("finalists", 2)


def test_the_held_out_test_has_the_winners_of_all_stages() -> None:
    """The last stage's is the run's, and comes first; the others are rows of their own kind."""
    finals = generation(("a", 0.2), ("c", 0.9), phase="finalists")
    chosen = best_distinct([finals], 2, STAGE, OBJECTIVES)
    finalists = finalist_population("r", chosen, None)
    assert winner(finals).recipe == "c" * 64
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
