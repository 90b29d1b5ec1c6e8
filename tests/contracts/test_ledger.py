"""Generations are read in order; damaged files are named."""

import pytest

from tests.synthetic_runs import SyntheticRun
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import (
    entries,
    existing_phases,
    new_recipes,
    read_generation,
    read_outcome,
    scored_generations,
)
from tsugiki.contracts.outcome import read_cost
from tsugiki.errors import LineageError


def test_generations_come_in_order(finished: SyntheticRun) -> None:
    """The last one is drawn and never scored."""
    found = list(entries(finished.files.phase("ps")))
    assert [entry.number for entry in found] == [0, 1, 2, 3]
    assert [entry.outcomes is not None for entry in found] == [True, True, True, False]


def test_a_generation_that_is_being_scored_has_no_outcomes(copied: RunFiles) -> None:
    """It is there, and is not counted as scored."""
    copied.phase("ps").generation(2).outcomes.unlink()
    assert list(entries(copied.phase("ps")))[2].outcomes is None
    assert len(scored_generations(copied.phase("ps"))) == 2


def test_series_that_have_not_begun_are_left_out(finished: SyntheticRun, copied: RunFiles) -> None:
    """The order is that of the workflow."""
    assert finished.config.phases == ["ps", "baselines", "finalists", "test"]
    copied.phase("baselines").generation(0).population.unlink()
    assert existing_phases(copied, finished.config.phases) == ["ps", "finalists", "test"]


def test_a_recipe_is_new_once(finished: SyntheticRun) -> None:
    """A recipe that comes again in a later generation costs nothing there."""
    first, second, *_ = entries(finished.files.phase("ps"))
    counts = [len(new) for new in new_recipes([first, second, first])]
    assert counts == [4, 4, 0]


def test_damaged_and_missing_files_are_named(copied: RunFiles) -> None:
    """The error says which file."""
    path = copied.phase("ps").generation(1).outcomes
    path.write_text('{"version": 1}')
    with pytest.raises(LineageError, match=r"gen-001/outcomes\.json"):
        read_generation(path)
    with pytest.raises(LineageError, match="missing"):
        read_outcome(copied.root / "nowhere.json")


def test_cost_may_be_absent_but_not_damaged(copied: RunFiles) -> None:
    """No digest covers it, so its absence is no fault."""
    path = copied.root / "cost.json"
    assert read_cost(path) is None
    path.write_text("{}")
    with pytest.raises(LineageError, match=r"cost\.json"):
        read_cost(path)
