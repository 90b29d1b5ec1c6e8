"""Item response theory: its formulas, and that it is worth more than a mean."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from scipy.special import expit, logit

from tsugiki.evolve.irt import EASE, Items, ability, estimated, fit, performance, trust
from tsugiki.keyed import generator

Floats = np.ndarray


def test_an_expected_answer_is_the_two_parameter_logistic_models() -> None:
    """By hand: sigmoid(1 * 2 + 0.5 * -1 - 0.3)."""
    items = Items(np.array([[1.0, 0.5]]), np.array([0.3]), np.zeros((0, 2)))
    expected = items.expected(np.array([[2.0, -1.0]]))
    assert expected == pytest.approx(1 / (1 + np.exp(-1.2)))


def test_documents_that_tell_nothing_apart_have_the_difficulty_of_their_answers() -> None:
    """Where all models answer alike, and half of the documents are right, the slope of the posterior is zero there."""
    models = 9
    answers = np.tile([1.0, 0.0], (models, 1))
    found = fit(answers, 1)
    hard = found.difficulty[1]
    assert found.discrimination == pytest.approx(0.0, abs=1e-5)
    assert found.difficulty[0] == pytest.approx(-hard)  # the usual one is 0
    assert models * expit(-hard) == pytest.approx(hard / EASE**2, abs=1e-4)


def test_an_ability_is_where_the_posterior_has_no_slope() -> None:
    """In any direction; of a mixture, along the shares of the parents, about one half of each."""
    random = generator("ability")
    items = Items(random.normal(size=(12, 2)), random.normal(size=12), np.zeros((0, 2)))
    answers = (random.random(12) < 0.5).astype(np.float64)
    answers[3:6] = np.nan
    asked = ~np.isnan(answers)
    theta = ability(items, answers)
    rest = answers[asked] - items.expected(theta[np.newaxis])[0][asked]
    assert items.discrimination[asked].T @ rest == pytest.approx(theta, abs=1e-6)
    parents = np.array([[1.0, 0.0], [0.5, 2.0]])
    mixed = ability(items, answers, parents)
    shares = np.linalg.solve(parents.T, mixed)
    rest = answers[asked] - items.expected(mixed[np.newaxis])[0][asked]
    slope = parents @ items.discrimination[asked].T @ rest
    assert slope == pytest.approx(shares - 0.5, abs=1e-6)


def test_a_performance_takes_answers_where_there_are_some() -> None:
    """And what is expected elsewhere: (1 + 0 + 0.25 + 0.75) / 4."""
    items = Items(np.zeros((4, 1)), -logit(np.array([0.9, 0.9, 0.25, 0.75])), np.zeros((0, 1)))
    answers = np.array([1.0, 0.0, np.nan, np.nan])
    assert performance(items, answers, np.zeros(1)) == pytest.approx(0.5)


def test_a_mean_is_trusted_by_its_variance_and_by_the_error_of_the_estimates() -> None:
    """0.1^2 / (0.25 / 25 + 0.1^2) = 1/2, for models that answer half of the documents."""
    whole = np.tile([0.0, 1.0], (3, 50))
    asked = np.arange(100) < 25
    assert trust(whole, np.array([0.4, 0.6, 0.4]), asked) == pytest.approx(0.5)
    assert trust(whole, np.full(3, 0.5), asked) == 0.0
    assert trust(whole[:0], np.empty(0), asked) == 0.5
    assert trust(np.ones((2, 100)), np.ones(2), asked) == 0.5


def errors(seed: int) -> list[float]:
    """Mean squared errors of mean, p-IRT, mp-IRT and gmp-IRT, for answers of a known model.

    Three parents and 24 of their mixtures have answered 200 documents, 48 others a random tenth each; 24 new ones are
    asked 20.
    """
    random = generator("known", seed)
    slopes = np.abs(random.normal(1, 0.5, (200, 2)))
    difficulty, parents = random.normal(0.5, 1.5, 200), random.normal(0, 1, (3, 2))

    def answers(theta: Floats) -> Floats:
        return (random.random((len(theta), 200)) < expit(theta @ slopes.T - difficulty)).astype(
            np.float64
        )

    def mixtures(count: int) -> Floats:
        return random.dirichlet(np.ones(3), count) * random.uniform(0.5, 1.8, (count, 1)) @ parents

    known = answers(np.concatenate([parents, mixtures(24)]))
    few = answers(mixtures(48))
    few[random.random(few.shape) > 0.1] = np.nan
    whole, asked = answers(mixtures(24)), random.permutation(200) < 20
    part = np.where(asked, whole, np.nan)
    kinds: tuple[Literal["p_irt", "mp_irt", "gmp_irt"], ...] = ("p_irt", "mp_irt", "gmp_irt")
    found = [
        estimated(known[:3], known[3:], few, part, estimator=kind, dimensions=2) for kind in kinds
    ]
    true = whole.mean(axis=1)
    return [float(np.mean((one - true) ** 2)) for one in (np.nanmean(part, axis=1), *found)]


def test_estimates_are_nearer_to_the_truth_than_the_mean_of_the_same_answers() -> None:
    """By a third of the squared error at least, over six sets of documents and parents."""
    mean, *estimates = np.mean([errors(seed) for seed in range(6)], axis=0)
    assert max(estimates) < mean * 2 / 3


def test_what_models_answered_may_be_turned_about_and_nothing_else_follows() -> None:
    """Right for wrong: expected answers are those of the opposite; the fit prefers no side."""
    random = generator("turned")
    answers = (random.random((12, 20)) < random.random(20)).astype(np.float64)
    answers[random.random(answers.shape) < 0.3] = np.nan
    found, turned = fit(answers, 2), fit(1 - answers, 2)
    assert turned.expected(turned.abilities) == pytest.approx(
        1 - found.expected(found.abilities), abs=1e-3
    )
