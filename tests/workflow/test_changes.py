"""What a changed configuration, a failing candidate or a second workflow does to a run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

from tests.workflow.small_run import UNTRACKED, settings
from tests.workflow.workspace import Workspace, make_workspace
from tsugiki.contracts.population import Generation

FAILING_TASK = '''

def process(doc, results):
    """Right or wrong, but a fault of the task's own code for about half of the models."""
    scores = [score for score, _ in results]
    if doc["prompt"] == "w2 w14 w26" and scores[3] < scores[2]:  # one of the search documents
        raise ValueError("cannot parse the answer")
    return {"acc": float(max(range(4), key=scores.__getitem__) == doc["gold"])}
'''


def test_a_larger_budget_goes_on_from_the_end(finished: Workspace, tmp_path: Path) -> None:
    """Raising `generations` keeps all finished generations and plans only the new ones."""
    workspace = Workspace(tmp_path / "run")
    shutil.copytree(finished.root, workspace.root, symlinks=True)
    config = settings()
    config["stages"][0]["budget"]["generations"] = 4
    workspace.configure(config)
    planned = workspace.run("--dry-run", "--quiet", "progress")
    scored = set(re.findall(r"output: results/tiny/(\w+)/gen-(\d+)/evaluated-0.json", planned))
    assert scored == {("ps", "003"), ("finalists", "000"), ("test", "000")}


def test_a_larger_limit_goes_on_from_where_the_stage_ended(
    finished: Workspace, tmp_path: Path
) -> None:
    """To the bytes of a run without it; a dry run says so, and afterwards there is nothing to do."""
    config = settings() | UNTRACKED
    config["stages"][0]["budget"]["evaluations"] = 5
    workspace = make_workspace(tmp_path / "run", config)
    workspace.run()
    assert "ended: 5 models scored" in workspace.tsugiki("status", "tiny.yaml").stdout
    config["stages"][0]["budget"]["evaluations"] = 100
    workspace.configure(config)
    printed = workspace.run("--dry-run")
    assert "`stages[ps].budget.evaluations` 5 → 100: what follows from stage ps" in printed
    assert re.search(r"select +3\n", printed)
    workspace.run()
    # and what the finalists of the smaller budget left
    assert finished.digests().items() <= workspace.digests().items()
    assert "Nothing to be done" in workspace.run("--dry-run")
    assert workspace.tsugiki("audit", "tiny.yaml").returncode == 0


def test_another_space_is_refused_and_leaves_the_run_as_it_is(
    finished: Workspace, tmp_path: Path
) -> None:
    """What is searched can be changed under another name only; a dry run says so too."""
    workspace = Workspace(tmp_path / "run")
    shutil.copytree(finished.root, workspace.root, symlinks=True)
    config = settings()
    config["stages"][0]["space"]["genes"]["weight"]["range"] = [0.0, 1.0]
    workspace.configure(config)
    before = workspace.digests()
    for arguments in (["--dry-run"], []):
        printed = workspace.run(*arguments, fails=True)
        assert "`stages[ps].space.genes.weight.range` [0.0, 1.5] → [0.0, 1.0]" in printed
    assert workspace.digests() == before


def test_a_dry_run_says_what_and_why(finished: Workspace, tmp_path: Path) -> None:
    """By the profile that people use; and other jobs, or notes beside a task, are nothing to do."""
    workspace = Workspace(tmp_path / "run")
    shutil.copytree(finished.root, workspace.root, symlinks=True)
    (workspace.root / "tasks/notes.txt").write_text("to do")
    workspace.configure(settings(jobs=5))
    printed = workspace.run("--dry-run")
    assert "Nothing to be done" in printed
    assert "report: results/tiny/report.html" in printed
    config = settings()
    config["finalists"]["top"] = 2
    workspace.configure(config)
    printed = workspace.run("--dry-run")
    assert "`finalists.top` 3 → 2: finalists are chosen anew" in printed
    assert re.search(r"finalists +1\n", printed)
    assert "select" not in printed


def test_a_moved_results_folder_needs_nothing_but_its_files(
    finished: Workspace, tmp_path: Path
) -> None:
    """A copied run is complete: nothing to do, and audited as sound, from relative paths."""
    workspace = Workspace(tmp_path / "elsewhere")
    shutil.copytree(finished.root, workspace.root, symlinks=True)
    assert "Nothing to be done" in workspace.run("--dry-run", "--quiet", "host")
    assert workspace.tsugiki("audit", str(workspace.files.config)).returncode == 0


def test_a_wrong_configuration_is_told_before_the_plan(tmp_path: Path) -> None:
    """An unknown metric, method and parent are named together, with the nearest valid names."""
    config = settings()
    config["evaluation"]["objectives"][0]["metric"] = "accc,none"
    config["stages"][0]["space"]["method"] = "dare_tie"
    config["stages"][0]["parents"] = ["left", "rigth"]
    workspace = make_workspace(tmp_path / "run", config)
    output = workspace.run(fails=True)
    for hint in ("`acc,none`", "`dare_ties`", "`right`"):
        assert hint in output
    assert not workspace.files.root.exists()


def test_failing_candidates_are_outcomes(tmp_path: Path) -> None:
    """Some candidates fail: the reason is on record, they rank last, the run ends well."""
    workspace = make_workspace(tmp_path / "run", settings() | UNTRACKED)
    code = workspace.root / "tasks/tiny.py"
    code.write_text(code.read_text(encoding="utf-8") + FAILING_TASK, encoding="utf-8")
    task = workspace.root / "tasks/tiny_choice.yaml"
    task.write_text(task.read_text() + "process_results: !function tiny.process\n")
    workspace.run()
    entries = [
        entry
        for number in range(3)
        for entry in Generation.model_validate_json(
            workspace.files.phase("ps").generation(number).outcomes.read_bytes()
        ).ranked
    ]
    failed = [entry for entry in entries if entry.outcome.status == "failed"]
    assert 0 < len(failed) < len(entries)
    assert all(entry.fitness is None for entry in failed)
    assert all(
        entry.outcome.kind == "evaluation" and "cannot parse the answer" in entry.outcome.reason
        for entry in failed
    )
    table = json.loads(workspace.files.final.read_text())
    (winner,) = [row for row in table["rows"] if row["kind"] == "evolved"]
    assert winner["failed"] is None
    assert workspace.tsugiki("audit", str(workspace.files.config)).returncode == 0


def test_a_second_workflow_on_the_same_run_is_refused(tmp_path: Path) -> None:
    """Two workflows at once would race; the second says who holds the run."""
    workspace = make_workspace(tmp_path / "run", settings())
    first = workspace.start()
    try:
        while not (workspace.files.root / "logs/items.log").exists():
            assert first.poll() is None
            time.sleep(0.01)
        os.killpg(first.pid, signal.SIGSTOP)  # or it might end before the second has begun
        output = workspace.run(fails=True)
        assert f"process {first.pid}" in output
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
