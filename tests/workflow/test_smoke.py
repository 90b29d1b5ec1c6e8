"""A run in small: all steps to the report, here of chats with sampled answers, and what the real one costs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.evaluate.test_chat import CHATML, write_chat_tokenizer
from tests.runs_for_tests import raw_config, write_parents, write_tasks
from tests.workflow.workspace import REPOSITORY, Workspace
from tsugiki.config.load import parse_config
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.ledger import scored_generations
from tsugiki.contracts.samples import read_samples
from tsugiki.steps.estimate import shares


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A run of chats, with two sampled answers to each document, whose template one parent has."""
    models = write_parents(tmp_path / "models")
    for name in ("base", "a", "b"):
        write_chat_tokenizer(models / name, CHATML if name == "b" else None)
    tasks = write_tasks(tmp_path / "tasks", sample=True)
    found = Workspace(tmp_path)
    raw = raw_config(models, tasks, tmp_path / "results")
    raw["evaluation"] |= {
        "objectives": [{"name": "even", "task": "words", "metric": "even,none"}],
        "repeats": {"words": 2},
        "apply_chat_template": True,
        "rungs": {"documents": [2, 8], "rule": "halving"},
    }
    raw |= {"rivals": ["random"], "finalists": {"top": 2}}
    raw["baselines"] = [{"name": "average", "method": "linear", "parameters": {"weight": 1.0}}]
    found.configure(raw)
    return found


def test_a_smoke_run_does_every_step_and_prices_the_real_one(workspace: Workspace) -> None:
    """On two documents and for one generation, in a folder of its own; nothing of the real run is written."""
    config = parse_config(yaml.safe_load((workspace.root / "tiny.yaml").read_text()), where="test")
    snakefile = ("--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "2")
    done = workspace.tsugiki("smoke", "tiny.yaml", "--", *snakefile)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (workspace.root / "results/tiny").exists()
    small = RunFiles(workspace.root / "results/tiny-smoke")
    (generation,) = scored_generations(small.phase("ps"))
    assert len(generation.ranked) == 4
    record = read_samples(small.phase("ps").candidate(generation.ranked[0].recipe).items)
    assert record["repeats"].to_pylist() == [2, 2]
    assert {row["kind"] for row in json.loads(small.final.read_bytes())["rows"]} >= {
        "parent",
        "evolved",
    }
    assert (small.best / "chat_template.jinja").read_text() == CHATML
    page = small.report.read_text(encoding="utf-8")
    assert "It was scored with the chat template of b, applied to every prompt." in page
    parts = shares(config, {})
    told = re.search(r"asks for ([\d,]+) answers of ([\d,]+) models at most", done.stdout)
    assert told is not None, done.stdout
    assert [int(one.replace(",", "")) for one in told.groups()] == [
        sum(one.answers for one in parts),
        sum(one.candidates for one in parts),
    ]
