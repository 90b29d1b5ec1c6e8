"""Natural niches by the whole workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.workflow.small_run import settings
from tests.workflow.workspace import make_workspace

SEARCHED = "results/tiny/ps/gen-001/outcomes.json"
"""The ledger's entry of the last generation."""


def in_niches(**changes: Any) -> dict[str, Any]:
    """Two generations whose candidates compete for documents."""
    config = settings(**changes)
    config["stages"][0] |= {
        "strategy": {"kind": "natural_niches", "population": 5},
        "budget": {"generations": 2},
    }
    return config


def test_the_number_of_jobs_changes_no_byte_of_what_is_drawn_from_records(tmp_path: Path) -> None:
    """By two workers, or by one job that ends, in processes of other hash seeds; the audit draws the same again."""
    two = make_workspace(tmp_path / "two", in_niches(jobs=2))
    two.run(SEARCHED)
    one = make_workspace(tmp_path / "one", in_niches(jobs=1, resident=False))
    assert not one.run_until(lambda: False, SEARCHED)
    assert list(two.files.root.glob("logs/resident-*"))
    assert not list(one.files.root.glob("logs/resident-*"))
    assert "ps/gen-001/state.npz" in two.digests()
    assert two.digests() == one.digests()
    done = two.tsugiki("audit", "tiny.yaml")
    assert done.returncode == 0, done.stdout
