"""Which candidates rules for rungs leave."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tsugiki.contracts.scores import Scores
from tsugiki.errors import EvaluationError
from tsugiki.keyed import generator
from tsugiki.strategies.rungs.halving import Halving
from tsugiki.strategies.rungs.racing import TAIL, Racing, shown_better
from tsugiki.strategies.rungs.rule import Rule, Standing

DOCUMENTS = (50, 100, 200)


def standing(
    numbers: Any, rung: int = 0, candidates: int | None = None, *, weighs: bool = True
) -> Standing:
    """How candidates stand; `numbers` of shape (candidates, documents, objectives), all scored."""
    values = numbers.mean(axis=1)
    failed = np.zeros(len(values), dtype=np.bool_)
    return Standing(
        rung=rung,
        documents=DOCUMENTS,
        candidates=candidates or len(values),
        scores=Scores(values, failed, np.ones(values.shape[1])),
        order=tuple(np.argsort(-values.sum(axis=1), kind="stable").tolist()),
        by_document=numbers,
        weighs=weighs,
    )


def answers(abilities: Any, *key: str | int) -> Any:
    """Right or wrong answers to all documents, harder and easier ones; shape (candidates, 200, 1)."""
    random = generator("rules", *key)
    difficulty = random.normal(size=200)
    chance = 1 / (1 + np.exp(difficulty - np.asarray(abilities)[:, np.newaxis]))
    return (random.random(chance.shape) < chance).astype(float)[..., np.newaxis]


def race(rule: Rule, numbers: Any) -> list[int]:
    """Who goes all the way."""
    on = list(range(len(numbers)))
    for rung, size in enumerate(DOCUMENTS[:-1]):
        reasons = rule.left(standing(numbers[on, :size], rung, len(numbers)))
        on = [one for one, reason in zip(on, reasons, strict=True) if reason is None]
    return on


def test_halving_keeps_one_in_eta_rounded_up() -> None:
    """24 candidates, then 12, then 6; by thirds 24, 8, 3; and of equals the first."""
    numbers = np.linspace(0, 1, 24)[:, np.newaxis, np.newaxis] * np.ones((1, 200, 1))
    assert race(Halving(kind="halving"), numbers) == list(range(18, 24))
    assert race(Halving(kind="halving", eta=3), numbers) == [21, 22, 23]
    assert race(Halving(kind="halving"), np.zeros((5, 200, 1))) == [0, 1]
    assert Halving(kind="halving").at_most(24, 3) == [24, 12, 6]


def test_equal_candidates_are_left_at_most_as_often_as_alpha_says() -> None:
    """In 400 generations of twelve: any of the six that stand for the best, at either rung."""
    alpha, generations = 0.2, 400
    rule = Racing(kind="racing", alpha=alpha)
    wrong = sum(
        not set(range(6)) <= set(race(rule, answers(np.zeros(12), "equal", one)))
        for one in range(generations)
    )
    assert wrong <= alpha * generations + 2 * math.sqrt(generations * alpha * (1 - alpha))


def test_the_best_stay_in_the_race_and_those_far_behind_leave_it() -> None:
    """Half of them with 80 % right answers, the others with 20 %: known truth."""
    truth = [1.5] * 6 + [-1.5] * 6
    found = [race(Racing(kind="racing"), answers(truth, "apart", one)) for one in range(20)]
    assert all(set(range(6)) <= set(on) for on in found)
    assert np.mean([len(on) for on in found]) < 7


def test_a_race_for_the_best_half_leaves_nobody_for_being_behind_the_leader_alone() -> None:
    """As many have to be shown to be better as are worth keeping."""
    numbers = np.concatenate([np.ones((5, 50, 1)), np.zeros((7, 50, 1))])
    assert Racing(kind="racing").left(standing(numbers)) == [None] * 12
    left = Racing(kind="racing", keep=0.4).left(standing(numbers))
    assert left == [None] * 5 + ["shown to be worse than 5 others"] * 7


def test_a_pareto_strategy_leaves_whom_enough_others_beat_on_every_objective() -> None:
    """And not those who are behind on one alone."""
    numbers = np.zeros((4, 50, 2))
    numbers[:2] = 1.0
    numbers[2, :, 1] = 1.0
    rule = Racing(kind="racing")
    left = rule.left(standing(numbers, weighs=False))
    assert left == [None, None, None, "shown to be worse than 2 others"]
    assert [one is None for one in rule.left(standing(numbers))] == [True, True, False, False]


@pytest.mark.parametrize("ahead", [3, 6, 10, 14])
def test_the_bound_holds_for_the_exact_sign_test(ahead: int) -> None:
    """Of n documents on which two differ the second is right on all: a probability of 2^-n."""
    numbers = np.zeros((2, 50, 1))
    numbers[1, :ahead] = 1.0
    exact = 0.5**ahead
    assert not shown_better(numbers, 0.99 * exact)[0, 1]
    bound = TAIL * 0.5 * math.erfc(math.sqrt(ahead / 2))
    assert shown_better(numbers, 1.01 * bound)[0, 1]
    assert not shown_better(numbers, 1.01 * bound)[1, 0]
    assert exact <= bound < 5 * exact


def test_the_constant_of_the_bound_is_the_published_one() -> None:
    """3.178 (Bentkus and Dzindzalieta 2015)."""
    assert math.floor(1000 * TAIL) == 3178


def test_racing_refuses_what_has_no_number_for_each_document() -> None:
    """A perplexity, say; failures are none of these."""
    numbers = np.ones((3, 50, 1))
    numbers[1, 3] = np.nan
    with pytest.raises(EvaluationError, match="no number for each"):
        Racing(kind="racing").left(standing(numbers))


def test_more_rungs_never_bring_more_candidates() -> None:
    """What is estimated before a run is an upper bound."""
    for rule in (Halving(kind="halving", eta=1.5), Racing(kind="racing")):
        assert all(later <= before for before, later in pairwise(rule.at_most(17, 6)))
