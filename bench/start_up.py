"""What a job that evaluates costs beyond its candidates: processor seconds, beside plain imports.

Makes parents like the demo's with random weights, draws a generation of one candidate that is asked
few questions, and runs `tsugiki evaluate` on it several times, each time in a new process, in turn
with processes that only import torch and transformers. Prints the median of each and its ratio to
the first. Importing a model's class is what transformers needs before it can make any model.

    python bench/start_up.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from cpu_seconds import command_seconds
from runs import REPOSITORY, demo_config
from wide_parents import save_wide_parents

WIDTH = 64
IMPORTS = {
    "import AutoModelForCausalLM": "import torch; from transformers import AutoModelForCausalLM",
    "import LlamaForCausalLM": "import torch; from transformers import LlamaForCausalLM",
}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "config.json"
        config.write_text(json.dumps(_config(Path(name))), encoding="utf-8")
        evaluate = ["evaluate", str(config), "--series", "ps"]
        for step in (["parents", str(config)], ["items", str(config)]):
            _tsugiki(step)
        _tsugiki(["start", str(config), "--stage", "ps"])
        _tsugiki(evaluate)  # compiles loops that were never used on this machine
        seconds: dict[str, list[float]] = {label: [] for label in (*IMPORTS, "tsugiki evaluate")}
        for _ in range(arguments.repeats):
            for label, code in IMPORTS.items():
                seconds[label].append(_processor_seconds(["-c", code]))
            for outcome in Path(name).rglob("outcome.json"):
                outcome.unlink()
            seconds["tsugiki evaluate"].append(_tsugiki(evaluate))
    first = statistics.median(next(iter(seconds.values())))
    print(f"{'':30}{'seconds':>9}{'ratio':>8}")
    for label, of_label in seconds.items():
        median = statistics.median(of_label)
        print(f"{label:30}{median:9.2f}{median / first:8.2f}")


def _config(folder: Path) -> dict[str, Any]:
    config = demo_config(
        results=str(folder / "results"), parents=save_wide_parents(folder / "parents", WIDTH)
    )
    config["evaluation"] |= {
        "items": {"search": 8, "validation": 8, "test": 8},
        "jobs": 2,
        "resident": False,
    }
    config["stages"][0]["strategy"] = {"kind": "random", "population": 2}
    return config


def _tsugiki(arguments: list[str]) -> float:
    return _processor_seconds(["-m", "tsugiki.cli", *arguments])


def _processor_seconds(arguments: list[str]) -> float:
    return command_seconds([sys.executable, *arguments], REPOSITORY)


if __name__ == "__main__":
    main()
