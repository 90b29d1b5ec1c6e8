"""What a process of a run imports: whatever it does not use would cost each job its time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import MakeRun
from tsugiki.steps.start import write_baselines, write_first

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "transformers", "lm_eval", "datasets", "numba", "mlflow", "pandas", "matplotlib"}
HEAVY |= {"scipy"}
FOREIGN = {"mlflow", "sqlalchemy", "matplotlib", "snakemake", "vllm", "torchvision"}
FOREIGN |= {"evaluate", "sklearn", "nltk", "rouge_score", "tensorboard", "wandb"}
"""Libraries that scoring a candidate does not need; some are for other tasks of lm-eval's."""
AFTER = """
import gc, json, sys
from tsugiki.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps({"modules": list(sys.modules), "aside": gc.get_freeze_count(),
                  "searched": len(gc.get_objects()), "collecting": gc.isenabled()}))
"""


def after(*arguments: str) -> dict[str, Any]:
    """What a process holds at the end of a command."""
    command = [sys.executable, "-c", AFTER, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def heavy(*arguments: str) -> set[str]:
    """The large libraries that a command imports."""
    return HEAVY.intersection(after(*arguments)["modules"])


def test_an_evaluating_process_imports_what_it_uses_and_no_more(make_run: MakeRun) -> None:
    """And its libraries are not searched for garbage, which takes as long as many of them."""
    run = make_run()
    write_first(run.files, run.config, run.config.stages[0])
    found = after("evaluate", str(run.files.config), "--series", "ps")
    assert run.files.phase("ps").generation(0).evaluated(0).is_file()
    assert {"torch", "transformers", "lm_eval"} <= set(found["modules"])
    assert not FOREIGN.intersection(found["modules"])
    assert found["collecting"]
    assert found["aside"] > 2 * found["searched"]


def test_commands_that_neither_merge_nor_score_start_without_the_libraries_for_it(
    make_run: MakeRun,
) -> None:
    """They read and write small files; importing torch would cost more than their work."""
    run = make_run()
    (stage,) = run.config.stages
    short = run.config.model_dump(mode="json", exclude_unset=True)
    short["stages"][0]["budget"]["generations"] = 1
    run.files.config.write_text(json.dumps(short), encoding="utf-8")
    config = str(run.files.config)
    write_first(run.files, run.config, stage)
    run.score("ps")

    assert heavy("--help") == set()
    assert heavy("rank", config, "--series", "ps") == set()
    assert heavy("select", config, "--stage", "ps") == set()
    assert heavy("status", config) == set()
    tracked = heavy("track", config, "--series", "ps")
    assert "mlflow" in tracked
    assert not tracked & {"torch", "transformers", "lm_eval", "matplotlib"}

    write_baselines(run.files, run.config)
    run.score("baselines")
    assert heavy("finalists", config) == set()
    run.score("finalists")
    assert heavy("test", config) == set()
    run.score("test")
    assert heavy("compare", config) <= {"pandas"}, "pyarrow imports it"
    assert heavy("report", config) <= {"pandas"}
