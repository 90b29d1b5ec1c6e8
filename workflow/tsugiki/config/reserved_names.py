"""Names that tsugiki gives itself, and that nothing in a configuration may have.

Rows of the final table are named after parents, stages and baselines; folders of a run after stages;
folders of results after runs. Each has its own names that are taken.
"""

from __future__ import annotations

EVOLVED = "evolved"
BASELINES = "baselines"
FINALISTS = "finalists"
TEST = "test"
DEMO_PARENTS = "demo-parents"
PREPARED_PARENTS = "prepared-parents"

ROWS = frozenset({EVOLVED})
"""The winner's row in the final table; those of other finalists are no valid names."""

FOLDERS = frozenset(
    {BASELINES, FINALISTS, TEST, "best", "logs", "benchmarks", "figures", "mlflow-artifacts"}
)
"""Folders that every run has."""

FILES = frozenset({"final.json", "folding.json", "report.html", "environment.json", "mlflow.db"})
"""Files that a run has once, and replaces."""

FINALISTS_OF = f"{FINALISTS}-"
"""How the folder of an earlier stage's finalists begins; the stage's name follows."""

CACHES = frozenset({DEMO_PARENTS, PREPARED_PARENTS})
"""Folders beside those of runs."""


def row_is_taken(name: str) -> bool:
    """Whether no parent or baseline may have a name."""
    return name in ROWS


def stage_is_taken(name: str) -> bool:
    """Whether no stage may have a name."""
    return name in ROWS | FOLDERS or name.startswith(FINALISTS_OF)


def run_is_taken(name: str) -> bool:
    """Whether no run may have a name."""
    return name in CACHES
