"""The real language model of config/smollm.yaml over several seeds: is evolution ahead of everything else?

Each seed trains its own parents on its own questions, poses others, and draws its own candidates and masks.
Prints what `bench/demo_seeds.py` prints. Settings were chosen with the parents of seed 1.

    python bench/smollm_seeds.py [--seeds 1 2 3]      about 50 minutes a seed on two cores
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
    "Chosen for show: a format that the one parent never saw and a skill that the other never saw. Settings were "
    "chosen on the parents of seed 1; the other seeds chose nothing."
)


def main() -> None:
    """Make the parents of each seed, run (finished ones are only read) and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--results", default="results")
    arguments = parser.parse_args()
    results = Path(arguments.results)
    tables = {}
    for seed in arguments.seeds:
        parents = results / "smollm-parents"
        subprocess.run([sys.executable, "-m", "tsugiki.smollm", parents, str(seed)], check=True)
        wall = run(seed_config(seed, results, parents))
        tables[seed] = json.loads((results / f"smollm-seed{seed}" / "final.json").read_bytes())
        print(f"seed {seed}: {wall:.0f} s", flush=True)
    show(tables, SHOW)


def seed_config(seed: int, results: Path, parents: Path) -> dict[str, Any]:
    """The configuration with parents and questions of a seed of its own."""
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
    main()
