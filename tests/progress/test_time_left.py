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
from tsugiki.contracts.ledger import Entry, entries
from tsugiki.contracts.outcome import Cost
from tsugiki.progress.progress import duration, status
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


def set_costs(files: RunFiles, at_once: int, *, own: bool = False) -> None:
    """Every candidate of the stage took 5 s, so many at a time, with an hour between generations.

    With `own`, each generation had documents of its own.
    """
    phase = files.phase("ps")
    for entry in entries(phase):
        for place, one in enumerate(entry.population.candidates):
            begin = 3600 * entry.number + 5 * (place // at_once)
            content = cost(begin, begin + 5).model_dump(mode="json")
            folder = phase.candidate(one.recipe)
            if folder.root.is_dir():
                path: Path = folder.of(entry.number if own else None).cost
                path.parent.mkdir(exist_ok=True)
                path.write_text(json.dumps(content))


@pytest.mark.parametrize("at_once", [1, 2])
def test_what_is_left_is_worked_out_from_what_scoring_took(
    finished: SyntheticRun, copied: RunFiles, at_once: int
) -> None:
    """One of three generations is left, with finalists and the test, on other numbers of documents."""
    config, stages = finished.config, undrawn(copied, 2, "finalists", "test")
    set_costs(copied, at_once)
    left = seconds_left(copied, config, stages)
    assert left == pytest.approx((4 * 5 + seconds_of_finals(config)) / at_once)


def seconds_of_finals(config: RunConfig, asked: int = 40) -> float:
    """What finalists and the test take one by one, where a search candidate takes 1 + 4 s for so many documents."""
    items = config.evaluation.items
    finalists = config.finalists.top + config.finalists.mean
    tested = finalists + len(config.parents) + len(config.baselines)
    tasks = len({one.task for one in (*config.evaluation.objectives, *config.evaluation.monitors)})
    return finalists * (1 + 4 * items.validation / asked) + tested * (
        1 + 4 * items.test * tasks / asked
    )


def undrawn(files: RunFiles, first: int, *others: str) -> dict[str, list[Entry]]:
    """Take away generations of the stage from the `first` on, and other phases; returns those that are left."""
    ps = files.phase("ps")
    for number in range(first, 4):
        ps.generation(number).population.unlink()
    for name in others:
        files.phase(name).generation(0).population.unlink()
    return {"ps": list(entries(ps))}


def test_status_right_after_the_start_counts_every_point_of_the_baselines_grids(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """By default three merges, three methods of 49 points each, and every parent: 153 models for nine rows."""
    config = finished.config
    stages = undrawn(copied, 1, "baselines", "finalists", "test")
    set_costs(copied, 1)
    expected = 2 * 4 * 5 + 153 * (1 + 4) + seconds_of_finals(config)
    assert seconds_left(copied, config, stages) == pytest.approx(expected)
    first, *_ = status(copied, config).splitlines()
    assert first.endswith(f" | {duration(expected)} left")


def test_rivals_that_are_not_drawn_are_as_dear_as_the_last_stage(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """Four and two leaders on 10 of 40 documents answer 60: rivals have two candidates, on all documents."""
    raw = finished.config.model_dump(mode="json")
    raw["evaluation"]["subsets"] = {"per_generation": 10, "leaders": 2}
    raw["rivals"] = ["random", "climb"]
    config = parse_config(raw, where="x")
    stages = undrawn(copied, 2, "finalists", "test")
    set_costs(copied, 1, own=True)
    whole = 1 + 4 * 40 / 10
    expected = (4 + 2) * 5 + 2 * 3 * 2 * whole + 3 * 9 * whole + (9 + 9 + 2) * (1 + 4 * 4 * 40 / 10)
    left = seconds_left(copied, config, {**stages, "ps-random": [], "ps-climb": []})
    assert left == pytest.approx(expected)


def test_what_is_scored_whole_takes_longer_than_what_rungs_leave(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """Half of the candidates are left after 10 of 40 documents: 4 s are for 25 of them."""
    raw = finished.config.model_dump(mode="json")
    raw["evaluation"]["rungs"] = {"documents": [10, 40], "rule": "halving"}
    config = parse_config(raw, where="x")
    undrawn(copied, 2, "finalists", "test")
    for number in (0, 1):
        path = copied.phase("ps").generation(number).outcomes
        content = json.loads(path.read_bytes())
        for one in content["ranked"][2:]:
            one["outcome"]["rung"] = 0
        path.write_text(json.dumps(content))
    set_costs(copied, 1)
    tested = seconds_of_finals(config, asked=25)
    left = seconds_left(copied, config, {"ps": list(entries(copied.phase("ps")))})
    assert left == pytest.approx(4 * 5 + tested)


def test_a_budget_of_evaluations_leaves_no_more_generations_than_it_is_enough_for(
    finished: SyntheticRun, copied: RunFiles
) -> None:
    """Of 100 generations twelve candidates are three."""
    raw = finished.config.model_dump(mode="json")
    raw["stages"][0]["budget"] |= {"generations": 100, "evaluations": 12}
    stages = undrawn(copied, 2, "finalists", "test")
    set_costs(copied, 1)
    left = seconds_left(copied, parse_config(raw, where="x"), stages)
    assert left == pytest.approx(4 * 5 + seconds_of_finals(finished.config))


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
