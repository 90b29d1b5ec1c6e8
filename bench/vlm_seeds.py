"""The vision-language demo of config/vlm.yaml over several seeds: is evolution ahead of everything else?

Each seed trains its own parents, draws its own pictures and asks its own questions. Prints what
`bench/demo_seeds.py` prints.

    python bench/vlm_seeds.py [--seeds 1 2 3 4 5]      about three minutes a seed on two cores
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
    "Chosen for show: the world of scenes, and how far the parents are trained. Seed 1 was used for that; the "
    "other seeds chose nothing."
)


def prepare(seed: int, results: Path) -> dict[str, Any]:
    """Make a seed's parents; the configuration with these, and with pictures of its own."""
    parents = results / "vlm-parents"
    command = [sys.executable, "-m", "tsugiki.demo.pictures", str(parents), str(seed)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / "config/vlm.yaml").read_text("utf-8"))
    tasks = REPOSITORY / "config/tasks/vlm"
    folder = task_folder(tasks, seed, results / "vlm-seeds-tasks" / str(seed))
    return config | {
        "name": f"vlm-seed{seed}",
        "seed": seed,
        "results": str(results),
        "parents": {
            name: {"path": str(parents / f"{name}-seed{seed}")} for name in config["parents"]
        },
        "evaluation": {**config["evaluation"], "task_paths": [str(folder.resolve())]},
    }


if __name__ == "__main__":
    compare(__doc__, range(1, 6), prepare, SHOW)
