"""A search in rungs by the whole workflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.workflow.small_run import settings
from tests.workflow.workspace import Workspace, make_workspace

SEARCHED = "results/tiny/ps/gen-001/outcomes.json"
"""The ledger's entry of the last generation: what follows has no rungs."""


def in_rungs(**changes: Any) -> dict[str, Any]:
    """Two generations in three rungs."""
    config = settings(rungs={"documents": [4, 9, 20]}, **changes)
    config["stages"][0]["budget"] = {"generations": 2}
    return config


def recorded(workspace: Workspace) -> dict[str, str]:
    """Digests of what the search left, decisions included."""
    root = workspace.files.root
    kept = workspace.digests() | {
        path.relative_to(root).as_posix(): path.read_text()
        for path in sorted(root.glob("ps/gen-*/rung-*.json"))
    }
    return {name: digest for name, digest in kept.items() if name.startswith("ps/")}


def values(workspace: Workspace) -> list[Any]:
    """What every candidate scored."""
    entries = [
        json.loads((workspace.files.root / f"ps/gen-00{number}/outcomes.json").read_bytes())
        for number in range(2)
    ]
    return [
        (one["recipe"], one["fitness"], one["outcome"]["measured"])
        for entry in entries
        for one in entry["ranked"]
    ]


def test_a_search_in_rungs_goes_on_after_a_kill_and_ends_as_one_without(
    finished: Workspace, tmp_path: Path
) -> None:
    """With three workers and a kill between two rungs, or by one from disk: the same bytes, and scores as of no rungs."""
    killed = make_workspace(tmp_path / "killed", in_rungs(jobs=3))
    decided = killed.files.phase("ps").generation(1).promotion(0)
    assert killed.run_until(decided.is_file, SEARCHED)
    assert not (killed.root / SEARCHED).exists()
    killed.run(SEARCHED)
    whole = make_workspace(tmp_path / "whole", in_rungs(jobs=1, storage="disk"))
    whole.run(SEARCHED)
    found = recorded(killed)
    assert sum(name.endswith("rung-1.json") for name in found) == 2
    assert found == recorded(whole)
    assert not list(whole.files.root.glob("ps/gen-*/weights-*"))
    assert values(killed) == values(finished)
    assert killed.tsugiki("audit", "tiny.yaml").returncode == 0
