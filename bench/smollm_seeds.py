"""The real language model of config/smollm.yaml over several seeds: is evolution ahead of everything else?

Each seed trains its own parents on its own questions, poses others, and draws its own candidates and masks.
Prints what `bench/demo_seeds.py` prints. Settings were chosen with the parents of seed 1.

    python bench/smollm_seeds.py [--seeds 1 2 3]      about 50 minutes a seed on two cores
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from demo_seeds import compare, task_folder
from runs import REPOSITORY

SHOW = (
    "Chosen for show: a format that the one parent never saw and a skill that the other never saw. Settings were "
    "chosen on the parents of seed 1; the other seeds chose nothing."
)


def prepare(seed: int, results: Path) -> dict[str, Any]:
    """Make a seed's parents; the configuration with these, and with questions of its own."""
    parents = results / "smollm-parents"
    command = [sys.executable, "-m", "tsugiki.smollm", str(parents), str(seed)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / "config/smollm.yaml").read_text("utf-8"))
    tasks = REPOSITORY / "config/tasks/smollm"
    folder = task_folder(tasks, seed, results / "smollm-seeds-tasks" / str(seed))
    return config | {
        "name": f"smollm-seed{seed}",
        "seed": seed,
        "results": str(results),
        "parents": {
            "base": {"path": str(parents / "base")},
            "arithmetic": {"path": str(parents / f"arithmetic-seed{seed}")},
            "json": {"path": str(parents / f"json-seed{seed}"), "adapter_of": "base"},
        },
        "evaluation": {**config["evaluation"], "task_paths": [str(folder.resolve())]},
    }


if __name__ == "__main__":
    compare(__doc__, range(1, 4), prepare, SHOW)
