"""The winner's curse is estimated right where it is known: by formulas of the normal distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tsugiki.evaluate.selection_bias import (
    bootstrapped_selection_bias,
    bootstrapped_selection_bias_of,
    resampled_selection_bias,
    selection_bias,
)
from tsugiki.evaluate.statistics import Floats, Statistic
from tsugiki.keyed import generator

LARGEST = {10: 1.5388, 100: 2.5076, 480: 3.0278}
"""Expected largest of so many standard normal numbers (Harter 1961; of 480 by integration)."""


def drawn(repeat: int, candidates: int, items: int, *, spread: float = 0.0) -> Floats:
    """Scores of independent candidates: true values of a standard deviation, and 1 of noise an item."""
    random = generator("selection-bias-test", repeat, candidates)
    truth = spread * random.standard_normal((candidates, 1))
    return np.asarray(truth + random.standard_normal((candidates, items)))


def estimates(found: list[Floats]) -> Floats:
    """Of several repetitions."""
    return np.array([selection_bias([one], ("t", n))[0] for n, one in enumerate(found)])


def test_of_equal_candidates_it_is_what_chance_makes_of_the_best() -> None:
    """480 that solve each of 200 items with probability 1/2: 3.03 standard errors."""
    expected = LARGEST[480] * math.sqrt(0.25 / 200)
    found = [
        generator("equal", repeat).integers(2, size=(480, 200)).astype(np.float64)
        for repeat in range(4)
    ]
    assert estimates(found).mean() == pytest.approx(expected, rel=0.07)
    assert bootstrapped_selection_bias(found[0], ("t",)) < 0.75 * expected


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_of_candidates_that_differ_it_is_the_share_of_noise_in_the_lead(ratio: float) -> None:
    """With noise s in a score and a true spread t: E(largest) s^2 / sqrt(s^2 + t^2)."""
    candidates, items = 100, 64
    noise = 1 / math.sqrt(items)
    expected = LARGEST[candidates] * noise / math.sqrt(1 + ratio**2)
    found = [drawn(n, candidates, items, spread=ratio * noise) for n in range(24)]
    assert estimates(found).mean() == pytest.approx(expected, rel=0.2)


def test_candidates_that_answer_alike_count_once() -> None:
    """Ten models, each of them ten times, are as lucky as ten; a hundred times one is not at all."""
    items = 64
    found = [np.repeat(drawn(n, 10, items), 10, axis=0) for n in range(30)]
    assert estimates(found).mean() == pytest.approx(LARGEST[10] / math.sqrt(items), rel=0.15)
    copies, (_, high) = selection_bias([np.tile(drawn(1, 1, items), (100, 1))], ("t",))
    assert (copies, high) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_what_all_candidates_have_in_common_is_no_bias() -> None:
    """Easy and hard items make scores uncertain, and choose nobody."""
    difficulty = 10 * generator("difficulty").standard_normal(64)
    found = [drawn(n, 100, 64) for n in range(6)]
    plain = estimates(found)
    assert estimates([one + difficulty for one in found]) == pytest.approx(plain, abs=1e-9)


def test_the_interval_covers_the_truth() -> None:
    """In nine of ten repetitions at the least."""
    candidates, items = 100, 64
    noise = 1 / math.sqrt(items)
    expected = LARGEST[candidates] * noise / math.sqrt(2)
    covered = []
    for repeat in range(40):
        value, (low, high) = selection_bias(
            [drawn(repeat, candidates, items, spread=noise)], ("t", repeat)
        )
        assert 0 <= low <= value <= high
        covered.append(low <= expected <= high)
    assert np.mean(covered) >= 0.9


def test_scores_on_several_sets_are_summed() -> None:
    """Two sets that are as noisy as one: sqrt(2) of its bias."""
    found = [
        selection_bias([drawn(n, 100, 64), drawn(100 + n, 100, 32)], ("t", n))[0] for n in range(24)
    ]
    expected = LARGEST[100] * math.sqrt(1 / 64 + 1 / 32)
    assert np.mean(found) == pytest.approx(expected, rel=0.1)


def mean_of(values: Any) -> Statistic:
    """The mean over samples of items, as a score that is computed again for each."""
    return lambda places: np.asarray(values)[places].mean(axis=1)


def test_of_a_score_that_is_computed_again_it_is_that_of_the_mean() -> None:
    """Where the score is a mean, both estimates are of the same thing; less may be better."""
    scores = drawn(1, 30, 64)
    expected, _ = selection_bias([scores], ("t",), splits=200)
    rows = [mean_of(row) for row in scores]
    found = resampled_selection_bias(rows, [64], 1.0, ("t",), splits=200)
    assert found == pytest.approx(expected, rel=0.05)
    fewer = [mean_of(-row) for row in scores]
    assert resampled_selection_bias(fewer, [64], -1.0, ("t",), splits=200) == pytest.approx(found)


def test_fewer_items_than_quarters_are_refused() -> None:
    """None could choose."""
    with pytest.raises(ValueError, match="4 items"):
        selection_bias([np.zeros((3, 3))], ("t",))
    with pytest.raises(ValueError, match="4 items"):
        resampled_selection_bias([mean_of(np.zeros(3))], [3], 1.0, ("t",))
    assert selection_bias([np.zeros((3, 5))], ("t",)) == (0.0, (0.0, 0.0))


def test_the_bootstraps_bias_of_two_equal_models_is_half_their_mean_distance() -> None:
    """Independent, right on a share p of n items: sqrt(2 p (1 - p) / n) sqrt(2 / pi) / 2."""
    items = 400
    first, second = np.tile([0.0, 0.0, 1.0, 1.0], items // 4), np.tile([0.0, 1.0], items // 2)
    expected = math.sqrt(2 * 0.25 / items) * math.sqrt(2 / math.pi) / 2
    found = bootstrapped_selection_bias(np.stack([first, second]), ("t",), resamples=20_000)
    assert found == pytest.approx(expected, rel=0.05)


def test_copies_of_one_model_have_no_bootstrapped_bias() -> None:
    """A hundred names for the same answers are one model."""
    answers = np.tile([0.0, 1.0, 1.0], 50)
    found = bootstrapped_selection_bias(np.tile(answers, (100, 1)), ("t",), resamples=4000)
    assert abs(found) < 4 * answers.std() / math.sqrt(150 * 4000)


def test_the_bootstraps_bias_of_a_score_computed_again_is_that_of_the_mean() -> None:
    """Where the score is a mean, both estimates are of the same thing; less may be better."""
    scores = generator("scores").uniform(size=(6, 100))
    expected = bootstrapped_selection_bias(scores, ("t",), resamples=20_000)
    rows = [mean_of(row) for row in scores]
    found = bootstrapped_selection_bias_of(rows, [100], 1.0, ("t",), resamples=20_000)
    assert found == pytest.approx(expected, rel=0.05)
    fewer = [mean_of(-row) for row in scores]
    assert bootstrapped_selection_bias_of(fewer, [100], -1.0, ("t",), resamples=20_000) == found
