"""What the workflow expects of a search for a front; nothing is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.small_run import settings
from tests.workflow.workspace import make_workspace


@pytest.mark.parametrize("kind", ["nsga2", "genetic"])
def test_figures_of_the_fitness_are_expected_where_there_is_one(tmp_path: Path, kind: str) -> None:
    """A front weighs nothing: waiting for its fitness would fail the report, at the end of the run."""
    objectives = [
        {"name": name, "task": "tiny_choice", "metric": "acc,none"} for name in ("one", "two")
    ]
    config = settings(objectives=objectives)
    config["stages"][0]["strategy"] = {"kind": kind, "population": 4}
    planned = make_workspace(tmp_path, config).run("--summary")
    figures = {name for name in ("fitness.svg", "fitness.csv") if f"figures/{name}" in planned}
    assert figures == (set() if kind == "nsga2" else {"fitness.svg", "fitness.csv"})
    assert "figures/cost.csv" in planned
