"""What a process of a run imports: whatever it does not use would cost each job its time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import MakeRun

ROOT = Path(__file__).parents[1]
FOREIGN = (
    "mlflow",
    "sqlalchemy",
    "matplotlib",
    "deap",
    "snakemake",
    "evaluate",
    "sklearn",
    "torchvision",
    "vllm",
    "tensorboard",
    "wandb",
    "rouge_score",
    "nltk",
)
"""Libraries that scoring a candidate does not need; those of lm-eval's other tasks are among them."""
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
    """Run a command in a process of its own; what that process holds at its end."""
    command = [sys.executable, "-c", AFTER, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_an_evaluating_process_imports_what_it_uses_and_no_more(make_run: MakeRun) -> None:
    """And its libraries are not searched for garbage, which takes as long as many of them."""
    run = make_run()
    config = str(run.files.config)
    subprocess.run(
        [sys.executable, "-m", "tsugiki.cli", "start", config, "--stage", "ps"], check=True
    )
    found = after("evaluate", config, "--series", "ps")
    assert run.files.series("ps").generation(0).evaluated(0).is_file()
    assert {"torch", "transformers", "lm_eval"} <= set(found["modules"])
    assert not set(FOREIGN) & set(found["modules"])
    assert found["collecting"]
    assert found["aside"] > 2 * found["searched"]
