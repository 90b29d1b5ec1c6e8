"""The vision-language demo of config/vlm.yaml over several seeds: is evolution ahead of everything else?

Each seed trains its own parents, draws its own pictures and asks its own questions. Prints what
`bench/demo_seeds.py` prints.

    python bench/vlm_seeds.py [--seeds 1 2 3 4 5]      about ten minutes a seed on two cores
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from demo_seeds import show, task_folder
from runs import REPOSITORY, run

SHOW = (
    "Chosen for show: the world of scenes, and how far the parents are trained. Seed 1 was used for that; the "
    "other seeds chose nothing."
)


def main() -> None:
    """Make the parents of each seed, run (finished ones are only read) and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--results", default="results")
    arguments = parser.parse_args()
    results = Path(arguments.results)
    tables = {}
    for seed in arguments.seeds:
        parents = results / "vlm-parents"
        command = [sys.executable, "-m", "tsugiki.demo.pictures", str(parents), str(seed)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        wall = run(seed_config(seed, results, parents))
        tables[seed] = json.loads((results / f"vlm-seed{seed}" / "final.json").read_bytes())
        print(f"seed {seed}: {wall:.0f} s without training", flush=True)
    show(tables, SHOW)


def seed_config(seed: int, results: Path, parents: Path) -> dict[str, Any]:
    """The configuration with parents and pictures of a seed of its own."""
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
    main()
