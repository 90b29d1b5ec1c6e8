"""A run that an earlier version recorded opens, audits, builds the same model and goes on today.

`run-52b0542.tar.gz` is a hybrid search of tiny models as that commit left it, with the models, the
tasks and Snakemake's own notes: ten candidates in two stages, baselines, finalists and the final table.
"""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.workflow.workspace import Workspace
from tsugiki.canonical import digest_file

ARCHIVE = Path(__file__).parent / "run-52b0542.tar.gz"


@pytest.fixture
def recorded(tmp_path: Path) -> Workspace:
    """The recorded run, in a folder of its own."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "run", filter="data")
    return Workspace(tmp_path / "run")


def test_it_is_audited_as_sound(recorded: Workspace) -> None:
    """Every digest and every generation is derived again from the recorded files."""
    done = recorded.tsugiki("audit", "tiny.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_table_is_shown(recorded: Workspace) -> None:
    """`tsugiki status` prints the final table, the winner first of all."""
    done = recorded.tsugiki("status", "tiny.yaml")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\* +evolved +evolved +dataflow +0\.575", done.stdout), done.stdout


def test_its_best_model_is_built_again(recorded: Workspace) -> None:
    """`tsugiki reproduce` makes the weights that were recorded, bit for bit."""
    done = recorded.tsugiki("reproduce", "tiny.yaml", "--out", "again")
    assert done.returncode == 0, done.stdout + done.stderr
    best, again = recorded.files.best, recorded.root / "again"
    assert digest_file(again / "model.safetensors") == digest_file(best / "model.safetensors")


@pytest.mark.slow
def test_it_goes_on_without_scoring_anything_again(recorded: Workspace) -> None:
    """With a larger budget, and workers, new candidates are added and no recorded outcome is written anew."""
    root = recorded.files.root
    before = {path: path.stat().st_mtime_ns for path in root.rglob("outcome.json")}
    config = yaml.safe_load((recorded.root / "tiny.yaml").read_text(encoding="utf-8"))
    config["stages"][-1]["budget"]["generations"] = 2
    config["evaluation"]["resident"] = True
    recorded.configure(config)
    recorded.run()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    second = json.loads((root / "ps-dfs/gen-001/outcomes.json").read_text(encoding="utf-8"))
    assert len(second["ranked"]) == 4
    assert recorded.tsugiki("audit", "tiny.yaml").returncode == 0
