"""When a stage ends, by each of its limits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.test_spread import generation
from tsugiki.config.stage import Budget
from tsugiki.contracts.usage import Used
from tsugiki.evolve.stop import Past, hours_at, stop_reason
from tsugiki.strategies.state import State


def ended(past: Past, best_generation: int = 0, number: int = 5, **limits: Any) -> str | None:
    """Why a stage of five generations ends."""
    state = State("random", scalars={"best_generation": best_generation})
    return stop_reason(Budget(generations=9, **limits), state, number, past)


@pytest.mark.parametrize(
    ("limit", "past", "words"),
    [
        ("evaluations", lambda n: Past(used=Used(evaluations=n)), "models scored"),
        ("answers", lambda n: Past(used=Used(answers=n)), "documents answered"),
        ("tokens", lambda n: Past(tokens=n), "tokens generated"),
        ("gpu_hours", lambda n: Past(hours=n), "GPU-hours used"),
    ],
)
def test_a_stage_ends_with_the_generation_that_reaches_a_limit(
    limit: str, past: Any, words: str
) -> None:
    """Not before, and with what was used, not the limit, in words."""
    assert ended(past(99), **{limit: 100}) is None
    assert words in (ended(past(100), **{limit: 100}) or "")
    assert ended(past(103), **{limit: 100}) == ended(past(103), **{limit: 102})


def test_whichever_limit_is_reached_first_ends_it() -> None:
    """Those that are absent, or not reached, end nothing."""
    past = Past(used=Used(evaluations=100, answers=7))
    assert ended(past) is None
    assert ended(past, answers=8, tokens=1, evaluations=100) == "100 models scored"
    assert ended(past, best_generation=4, stagnation=1, answers=7) == "7 documents answered"


@pytest.mark.parametrize("hours", [0.0097, 1.23451, 7.0, 12.34999])
def test_hours_are_read_back_as_they_ended_it(hours: float) -> None:
    """Rounded, but still at the limit; other reasons hold none."""
    limit = hours - 0.001
    words = ended(Past(hours=hours), gpu_hours=limit)
    assert ended(Past(hours=hours_at(words)), gpu_hours=limit) == words
    assert hours_at("100 models scored") == hours_at(None) == 0.0


def test_noise_alone_ends_it_after_as_many_generations_as_asked() -> None:
    """Candidates that differ by chance only; one generation with signal in between is enough to go on."""
    noise = [generation(n, signal=0.0) for n in range(3)]
    assert "noise" in (ended(Past(spreads=noise), settled=2) or "")
    mixed = [noise[0], generation(1, signal=0.1), generation(2, signal=0.1, better=0.2)]
    assert ended(Past(spreads=mixed), settled=2) is None
    assert ended(Past(spreads=noise[:1]), settled=2) is None
    assert ended(Past(spreads=[None, None, None]), settled=2) is None


def test_a_mean_that_does_not_rise_ends_it_though_candidates_differ() -> None:
    """And one that rises in a single one of the generations does not."""
    flat = [generation(n, signal=0.1) for n in range(3)]
    assert "mean has not risen" in (ended(Past(spreads=flat), settled=2) or "")
    rising = [flat[0], generation(1, signal=0.1, better=0.15), flat[2]]
    assert ended(Past(spreads=rising), settled=2) is None
