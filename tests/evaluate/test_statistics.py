"""Intervals and tests agree with published tables, closed forms and SciPy."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tsugiki.evaluate.statistics import (
    Statistic,
    bootstrap_interval,
    exact_mcnemar,
    holm,
    paired_test,
    permutation_test,
    resampled_interval,
    score_interval,
    wilson_interval,
)
from tsugiki.keyed import generator


@pytest.mark.parametrize(
    ("successes", "items", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_that_of_newcombes_table(
    successes: int, items: int, low: float, high: float
) -> None:
    """Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I."""
    interval = wilson_interval(successes, items)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_its_estimate_and_matches_scipy(case: tuple[int, int]) -> None:
    """The estimate lies inside, both ends are proportions, and SciPy gives the same."""
    successes, items = case
    interval = wilson_interval(successes, items)
    peer = stats.binomtest(successes, items).proportion_ci(method="wilson")
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low == pytest.approx(peer.low, abs=1e-9)
    assert interval.high == pytest.approx(peer.high, abs=1e-9)


@pytest.mark.parametrize(("successes", "items"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_interval_refuses_impossible_counts(successes: int, items: int) -> None:
    """No interval is made up for no items."""
    with pytest.raises(ValueError, match="successes among"):
        wilson_interval(successes, items)


def test_mcnemar_p_value_is_that_of_a_published_example() -> None:
    """Fay (2010), "Two-sided exact tests", 9 and 2 changed pairs: p = 0.06543."""
    assert exact_mcnemar(9, 2) == pytest.approx(0.06543, abs=5e-6)
    assert exact_mcnemar(2, 9) == exact_mcnemar(9, 2)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test_of_the_changed_items(gained: int, lost: int) -> None:
    """SciPy's binomial test with a fair coin is the peer."""
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert exact_mcnemar(gained, lost) == pytest.approx(expected)


def test_mcnemar_is_exact_for_thousands_of_items() -> None:
    """Whole numbers do not overflow where floats would."""
    assert exact_mcnemar(3000, 3000) == 1.0
    assert 0 < exact_mcnemar(1200, 800) < 1e-15


def test_paired_test_of_right_and_wrong_items_is_mcnemars() -> None:
    """Nine items gained, two lost, the rest equal."""
    first = np.array([1.0] * 9 + [0.0] * 2 + [1.0] * 5 + [0.0] * 4)
    second = np.array([0.0] * 9 + [1.0] * 2 + [1.0] * 5 + [0.0] * 4)
    assert paired_test(first, second, ("t",)) == exact_mcnemar(9, 2)


def test_paired_test_of_graded_items_is_the_sign_flip_test() -> None:
    """SciPy enumerates all 2^10 sign patterns; ours draws from them."""
    first = np.array([0.9, 0.8, 0.4, 0.7, 0.6, 0.9, 0.3, 0.8, 0.55, 0.72])
    second = np.array([0.5, 0.7, 0.5, 0.4, 0.1, 0.7, 0.35, 0.6, 0.5, 0.7])
    exact = stats.permutation_test(
        (first, second),
        lambda a, b: np.mean(a - b),
        permutation_type="samples",
        n_resamples=np.inf,
    ).pvalue
    ours = paired_test(first, second, ("t",), resamples=20_000)
    assert ours == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))


def test_equal_models_are_not_told_apart() -> None:
    """No item differs: p is 1."""
    values = np.array([0.2, 0.4, 0.9])
    assert paired_test(values, values, ("t",)) == 1.0


def test_bootstrap_interval_is_the_normal_one_for_many_items() -> None:
    """By the central limit theorem; the tolerance is a few standard errors of a quantile."""
    values = np.random.default_rng(1).normal(3.0, 2.0, 2000)
    interval = bootstrap_interval(values, ("t",))
    half = 1.959964 * values.std() / math.sqrt(values.size)
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.05 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.05 * half)


def test_bootstrap_interval_of_few_items_is_the_exact_one() -> None:
    """The mean of n resampled 0/1 items is binomial: its quantiles are known."""
    values = np.array([1.0] * 12 + [0.0] * 28)
    interval = bootstrap_interval(values, ("t",), resamples=20_000)
    low, high = stats.binom.ppf((0.025, 0.975), 40, 0.3) / 40
    assert interval.low == pytest.approx(low, abs=1 / 40)
    assert interval.high == pytest.approx(high, abs=1 / 40)


def test_bootstrap_interval_depends_on_its_key_alone() -> None:
    """Equal keys give equal numbers, whatever NumPy's global generator did."""
    values = np.linspace(0, 1, 30) ** 2
    first = bootstrap_interval(values, (1, "a"))
    np.random.default_rng().normal(size=10)
    assert bootstrap_interval(values, (1, "a")) == first
    assert bootstrap_interval(values, (2, "a")) != first


def test_score_interval_takes_wilsons_for_right_and_wrong_items() -> None:
    """And the bootstrap's for graded ones, where Wilson's would be wrong."""
    assert score_interval(np.array([1.0, 0.0, 1.0, 1.0]), ("t",)) == wilson_interval(3, 4)
    graded = score_interval(np.array([0.5, 0.5, 0.5]), ("t",))
    assert (graded.value, graded.low, graded.high, graded.items) == (0.5, 0.5, 0.5, 3)


def test_holm_adjusts_in_steps_and_keeps_the_order() -> None:
    """By hand: 3 times 0.01; 2 times 0.03; and the largest is raised to the one before."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_the_raw_and_bonferronis_value(p_values: list[float]) -> None:
    """And never reverses an order."""
    adjusted = holm(p_values)
    for raw, value in zip(p_values, adjusted, strict=True):
        assert raw <= value <= min(1.0, raw * len(p_values)) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def mean_of(values: Any) -> Statistic:
    """The mean over samples of items, as a score that is computed again for each."""
    return lambda places: values[places].mean(axis=1)


def test_resampled_interval_of_a_mean_is_the_normal_one() -> None:
    """The standard error of n items is their deviation over the root of n."""
    values = generator("values").normal(3.0, 2.0, size=400)
    found = resampled_interval(values.mean(), mean_of(values), [400], ("t",), resamples=20_000)
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.value == values.mean()
    assert found.low == pytest.approx(values.mean() - half, abs=0.05 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.05 * half)


def test_resamples_without_a_value_are_left_out_of_an_interval() -> None:
    """An undefined score of a few resamples does not make the whole interval undefined."""
    values = np.linspace(0.0, 1.0, 20)

    def sometimes(places: Any) -> Any:
        means = values[places].mean(axis=1)
        return np.where(places[:, 0] == 0, np.nan, means)

    found = resampled_interval(0.5, sometimes, [20], ("t",))
    assert 0.3 < found.low < 0.5 < found.high < 0.7
    with pytest.raises(ValueError, match="at least one item"):
        resampled_interval(0.5, sometimes, [0], ("t",))


def test_permutation_test_is_the_exact_one_over_all_assignments() -> None:
    """Of seven items there are 128 ways to say which model gave which answer."""
    first = np.array([-1.0, -2.0, -0.5, -3.0, -1.5, -2.5, -0.2])
    second = first - np.array([0.5, 0.9, 0.1, 0.4, -0.3, 1.2, 0.05])
    both = np.concatenate([first, second])

    def perplexity(places: Any) -> Any:
        return np.exp(-both[places].mean(axis=1))

    def difference(swapped: Any) -> float:
        ours, theirs = np.where(swapped, second, first), np.where(swapped, first, second)
        return float(abs(np.exp(-ours.mean()) - np.exp(-theirs.mean())))

    every = [difference(swapped) for swapped in itertools.product((0, 1), repeat=7)]
    exact = np.mean([one >= every[0] * (1 - 1e-12) for one in every])
    found = permutation_test(perplexity, 7, ("t",), resamples=20_000)
    assert found == pytest.approx(exact, abs=0.01)


def test_models_with_the_same_answers_score_alike() -> None:
    """No assignment differs from another."""
    values = np.tile(np.linspace(0, 1, 9), 2)
    assert permutation_test(mean_of(values), 9, ("t",)) == 1.0
