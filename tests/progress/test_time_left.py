"""How long scoring took, and what is left of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.synthetic_runs import SyntheticRun
from tsugiki.config.load import parse_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import entries
from tsugiki.contracts.outcome import Cost
from tsugiki.progress.time_left import busy_seconds, seconds_left

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def cost(begin: float, end: float) -> Cost:
    """A candidate that was at work between two seconds after noon: one to merge, the rest to answer."""
    return Cost(
        seconds_merge=1,
        seconds_forward=end - begin - 1,
        seconds_total=end - begin,
        tokens=0,
        host="h",
        device="cpu",
        started=NOON + timedelta(seconds=begin),
        finished=NOON + timedelta(seconds=end),
    )


def test_pauses_are_no_scoring() -> None:
    """Two at a time for 7 s, a night's pause, and one for 5 s; the order does not matter."""
    costs = [cost(40_000, 40_005), cost(0, 5), cost(2, 7), cost(3, 4)]
    assert busy_seconds(costs) == pytest.approx(12)
    assert busy_seconds([]) == 0


def set_costs(files: RunFiles, at_once: int) -> None:
    """Every candidate of the stage took 5 s, so many at a time, with an hour between generations."""
    phase = files.phase("ps")
    for entry in entries(phase):
        for place, one in enumerate(entry.population.candidates):
            begin = 3600 * entry.number + 5 * (place // at_once)
            content = cost(begin, begin + 5).model_dump(mode="json")
            path: Path = phase.candidate(one.recipe).cost
            if path.parent.is_dir():
                path.write_text(json.dumps(content))


@pytest.mark.parametrize("at_once", [1, 2])
def test_what_is_left_is_worked_out_from_what_scoring_took(
    finished: SyntheticRun, copied: RunFiles, at_once: int
) -> None:
    """One of three generations is left, with finalists and the test, on other numbers of documents."""
    config, ps = finished.config, copied.phase("ps")
    ps.generation(3).population.unlink()
    ps.generation(2).population.unlink()
    for name in ("finalists", "test"):
        copied.phase(name).generation(0).population.unlink()
    set_costs(copied, at_once)
    left = seconds_left(copied, config, {"ps": list(entries(ps))})
    assert left == pytest.approx((4 * 5 + seconds_of_finals(config)) / at_once)


def seconds_of_finals(config: RunConfig) -> float:
    """What finalists and the test take one by one, where a search candidate takes 1 + 4 s."""
    items = config.evaluation.items
    finalists = config.finalists.top + config.finalists.mean
    tested = finalists + len(config.parents) + len(config.baselines)
    tasks = len({one.task for one in (*config.evaluation.objectives, *config.evaluation.monitors)})
    return finalists * (1 + 4 * items.validation / items.search) + tested * (
        1 + 4 * items.test * tasks / items.search
    )


def test_finalists_of_a_smaller_budget_are_scored_anew(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """And so is the test."""
    set_costs(copied, 1)
    stages = {"ps": list(entries(copied.phase("ps")))}
    raw = finished.config.model_dump(mode="json")
    raw["stages"][0]["budget"]["generations"] += 1
    more = seconds_left(copied, parse_config(raw, where="x"), stages)
    assert more == pytest.approx(4 * 5 + seconds_of_finals(finished.config))


def test_nothing_is_left_of_a_finished_run(finished: SyntheticRun) -> None:
    """The candidates that are drawn after the last generation are never scored."""
    phase = finished.files.phase("ps")
    assert seconds_left(finished.files, finished.config, {"ps": list(entries(phase))}) == 0


def test_nothing_is_known_before_anything_is_scored(finished: SyntheticRun, tmp_path: Path) -> None:
    """And nothing is said."""
    assert seconds_left(RunFiles(tmp_path), finished.config, {"ps": []}) is None
