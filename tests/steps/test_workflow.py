"""What the Snakefile does before the plan, at the start and at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.synthetic_runs import SyntheticRun
from tsugiki.config.load import dump_config, parse_config
from tsugiki.contracts.layout import RunFiles
from tsugiki.errors import ConfigError
from tsugiki.steps.plan import Plan
from tsugiki.steps.workflow import end, look, start
from tsugiki.tracking.marks import PENDING, mark

LEAVE = """
import os, sys
from pathlib import Path
from tsugiki import atomic
print(atomic.never_there(Path(sys.argv[1])))
"""


def plan_of(raw: dict[str, Any]) -> Plan:
    """The plan of a configuration."""
    config = parse_config(raw, where="test")
    return Plan(RunFiles(config.folder), config)


def test_each_file_of_a_configuration_is_looked_at(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    """Snakemake reads them as one, and keeps the last of two values for a key without a word."""
    whole, more = tmp_path / "whole.yaml", tmp_path / "more.yaml"
    whole.write_text(yaml.safe_dump(tiny_config))
    more.write_text("seed: 2\n")
    plan = plan_of({**tiny_config, "seed": 2})
    look(plan, [whole, str(more)], log=pytest.fail)
    more.write_text("seed: 2\nseed: 3\n")
    with pytest.raises(ConfigError, match="twice"):
        look(plan, [whole, more], log=pytest.fail)


def test_a_start_records_the_configuration_and_clears_what_was_left(
    tiny_config: dict[str, Any],
) -> None:
    """Files that a process which has ended had not finished are gone."""
    plan = plan_of(tiny_config)
    root = plan.files.root
    root.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", LEAVE, str(root / "population.json")],
        check=True,
        capture_output=True,
        text=True,
    )
    left = Path(done.stdout.strip())
    left.write_text("half")
    start(plan)
    assert not left.exists()
    assert plan.files.config.read_bytes() == dump_config(plan.config)


def test_the_end_says_how_far_mlflow_lags_behind(
    copied: RunFiles, finished: SyntheticRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """And how it catches up; nothing where it has all."""
    plan = Plan(copied, finished.config)
    end(plan, "config/mine.yaml")
    assert capsys.readouterr().out == ""
    for number in range(2):
        mark(copied.phase("ps").generation(number), PENDING)
    plan.caught_up.touch()
    end(plan, "config/mine.yaml")
    said = capsys.readouterr().out
    assert said.startswith("MLflow lags behind by 2 generations: `tsugiki track config/mine.yaml`")
    assert not plan.caught_up.exists()
