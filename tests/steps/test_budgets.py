"""Stages that end by a limit, and go on once it is raised."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.synthetic_runs import SyntheticRun
from tsugiki.audit.decisions import check_reselect
from tsugiki.audit.finding import collect
from tsugiki.canonical import pretty_json
from tsugiki.config.load import dump_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import entries, read_population, scored_generations
from tsugiki.errors import LineageError
from tsugiki.steps.audit import reselect
from tsugiki.steps.changes import announce_changes
from tsugiki.steps.evolution import write_next
from tsugiki.steps.plan import Plan

POPULATION, ITEMS = 4, 40


class Search:
    """A run whose stage is planned and drawn as the workflow does it, with scores that are made up."""

    def __init__(self, folder: Path, **budget: Any) -> None:
        strategy = {"kind": "cma_es", "population": POPULATION}
        self.run = SyntheticRun(
            RunFiles(folder / "run"), generations=1, items=ITEMS, strategy=strategy
        )
        self.run.write_search()
        self.files = self.run.files
        self.config = self.run.config
        self.keys: dict[int, str] = {}
        self.files.config.unlink()
        self.start(**budget)

    def start(self, **budget: Any) -> list[int]:
        """Give the workflow's command with this budget; returns the generations that are drawn."""
        raw = self.config.model_dump(mode="json")
        raw["stages"][0]["budget"] = budget
        config = RunConfig.model_validate(raw)
        announce_changes(self.files, config, log=lambda _line: None)
        plan = Plan(self.files, config)
        (stage,) = config.stages
        numbers = range(1, stage.budget.generations + 1)
        keys = {
            number: plan.selected_key(SimpleNamespace(stage="ps", gen=f"{number:03d}"))
            for number in numbers
        }
        plan.write_eras()
        self.files.config.write_bytes(dump_config(config))
        self.config = self.run.config = config
        drawn: list[int] = []
        for number in numbers:
            again = bool(drawn) or self.keys.get(number) != keys[number]
            if again:
                write_next(self.files, config, stage, number - 1)
                drawn.append(number)
            scored = self.files.phase("ps").generation(number).outcomes.is_file()
            if number < stage.budget.generations and (again or not scored):
                self.run.score("ps", number)
        self.keys |= keys
        return drawn

    @property
    def ended(self) -> str | None:
        """Why the stage ended."""
        found = (one.population.stopped for one in entries(self.files.phase("ps")))
        return next((one for one in found if one is not None), None)

    @property
    def ranked(self) -> int:
        """Generations with candidates."""
        return len(scored_generations(self.files.phase("ps")))

    def bytes(self) -> dict[str, bytes]:
        """All populations and states."""
        folder = self.files.phase("ps").root
        paths = [*folder.glob("gen-*/population.json"), *folder.glob("gen-*/state.npz")]
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}

    def audit(self) -> list[Any]:
        """What deriving each generation again finds."""
        check = check_reselect(self.files, "ps", reselect(self.files, self.config))
        return collect(check, "ps")


LIMITS: list[tuple[str, Any, Any]] = [
    ("evaluations", 2 * POPULATION, 5 * POPULATION),
    ("answers", 2 * POPULATION * ITEMS, 5 * POPULATION * ITEMS - 1),
    ("tokens", 2 * POPULATION * ITEMS * 9 - 5, 5 * POPULATION * ITEMS * 9),
    ("gpu_hours", 0.003, 0.0086),
]


@pytest.mark.parametrize(("limit", "small", "large"), LIMITS, ids=[one[0] for one in LIMITS])
def test_a_limit_ends_a_stage_and_once_it_is_raised_the_stage_goes_on(
    tmp_path: Path, limit: str, small: float, large: float
) -> None:
    """From where it ended, to the bytes that the larger one gives from the start, and no further."""
    search = Search(tmp_path / "a", generations=8, **{limit: small})
    assert search.ranked == 2
    assert search.audit() == []
    assert search.start(generations=8, **{limit: small}) == []
    assert search.start(generations=8, **{limit: large}) == [2, 3, 4, 5, 6, 7, 8]
    assert search.start(generations=8, **{limit: large}) == []
    assert search.ranked == 5
    assert search.audit() == []
    whole = Search(tmp_path / "b", generations=8, **{limit: large})
    assert whole.bytes() == search.bytes()


def test_generations_follow_from_evaluations(tmp_path: Path) -> None:
    """The stage ends with the generation that reaches the limit, and goes on under a larger one."""
    search = Search(tmp_path / "a", evaluations=2 * POPULATION - 1)
    assert (search.ranked, search.ended) == (2, "8 models scored")
    assert search.start(evaluations=2 * POPULATION + 1) == [2, 3]
    assert search.bytes() == Search(tmp_path / "b", evaluations=2 * POPULATION + 1).bytes()


@pytest.mark.parametrize("limit", ["stagnation", "settled"])
def test_more_patience_goes_on_too(tmp_path: Path, limit: str) -> None:
    """Empty generations are drawn again, those before are not."""
    search = Search(tmp_path / "a", generations=12, **{limit: 1})
    ended = search.ranked
    assert ended < 12
    assert search.start(generations=12, **{limit: 4})[0] == ended
    assert search.ranked > ended
    assert search.start(generations=12, **{limit: 4}) == []
    assert search.audit() == []
    assert search.bytes() == Search(tmp_path / "b", generations=12, **{limit: 4}).bytes()


def test_a_limit_that_comes_later_draws_nothing_again(tmp_path: Path) -> None:
    """Nor does one that is raised before it is reached."""
    search = Search(tmp_path, generations=3)
    assert search.start(generations=3, evaluations=100) == []
    assert search.start(generations=4, evaluations=200, stagnation=9) == [4]
    assert search.audit() == []


@pytest.mark.parametrize(
    "smaller",
    [
        {"generations": 3},
        {"generations": 4, "evaluations": POPULATION},
        {"generations": 4, "answers": 3 * POPULATION * ITEMS},
    ],
)
def test_a_limit_below_what_is_recorded_is_refused(tmp_path: Path, smaller: dict[str, Any]) -> None:
    """And leaves the run as it is."""
    search = Search(tmp_path, generations=4)
    before = search.bytes()
    with pytest.raises(LineageError, match="would be replaced") as caught:
        search.start(**smaller)
    assert "would have ended after" in str(caught.value.got)
    assert "`stages[ps].budget." in str(caught.value.got)
    assert search.bytes() == before


def test_hours_that_ended_a_stage_stand_though_the_clock_says_otherwise(tmp_path: Path) -> None:
    """Cost files differ between machines, and are no part of the ledger."""
    search = Search(tmp_path, generations=6, gpu_hours=0.003)
    for path in search.files.phase("ps").root.glob("candidates/*/cost.json"):
        path.unlink()
    assert search.audit() == []
    assert search.start(generations=6, gpu_hours=0.003) == []


def test_a_reason_that_does_not_follow_from_the_records_is_found(tmp_path: Path) -> None:
    """An end that nothing recorded explains."""
    search = Search(tmp_path, generations=4, evaluations=2 * POPULATION)
    path = search.files.phase("ps").generation(2).population
    wrong = read_population(path).model_copy(update={"stopped": "9 models scored"})
    path.write_bytes(pretty_json(wrong.model_dump(mode="json")))
    assert search.audit()[0].what.startswith("population drawn again differs")


def of_rival(config: RunConfig, **budget: Any) -> RunConfig:
    """The same run with random search as a rival, and another budget."""
    raw = config.model_dump(mode="json") | {"rivals": ["random"]}
    raw["stages"][0]["budget"] = budget
    return RunConfig.model_validate(raw)


def test_a_rival_goes_on_too_and_then_nothing_is_left_to_do(tmp_path: Path) -> None:
    """Under which limits its generations were drawn is written down as the stage's is."""
    search = Search(tmp_path, generations=6, evaluations=2 * POPULATION)
    shutil.copytree(search.files.phase("ps").root, search.files.phase("ps-random").root)
    small, large = (
        of_rival(search.config, generations=6, evaluations=count * POPULATION) for count in (2, 5)
    )

    def keys(config: RunConfig) -> list[str]:
        plan = Plan(search.files, config)
        return [
            plan.selected_key(SimpleNamespace(stage="ps-random", gen=f"{number:03d}"))
            for number in range(1, 7)
        ]

    search.files.config.write_bytes(dump_config(small))
    before, raised = keys(small), keys(large)
    assert [one == other for one, other in zip(before, raised, strict=True)] == [True] + [False] * 5
    Plan(search.files, large).write_eras()
    search.files.config.write_bytes(dump_config(large))
    assert keys(large) == raised


def test_a_limit_below_what_is_recorded_of_a_rival_is_refused(tmp_path: Path) -> None:
    """A rival goes on where the stage itself ended for want of progress."""
    search = Search(tmp_path / "a", generations=6, stagnation=1)
    assert search.ranked < 5
    whole = Search(tmp_path / "b", generations=6)
    shutil.copytree(whole.files.phase("ps").root, search.files.phase("ps-random").root)
    config = of_rival(search.config, generations=6, stagnation=1)
    search.files.config.write_bytes(dump_config(config))
    announce_changes(search.files, config, log=lambda _line: None)
    smaller = of_rival(search.config, generations=5, stagnation=1)
    with pytest.raises(LineageError, match="would be replaced") as caught:
        announce_changes(search.files, smaller, log=lambda _line: None)
    assert "`stages[ps].budget.generations` 6 → 5" in str(caught.value.got)
    assert "ps-random would have ended after 5 of its 6" in str(caught.value.got)
