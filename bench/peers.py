"""What a candidate costs beyond its forward passes, here and with two other searches for merges.

Runs the same search (the demo's three parents, DARE-TIES, the same documents of one task, the same
batch size, the same number of candidates) with tsugiki's whole workflow, with mergenetic and with
mergekit-evolve, one after another on this machine, and prints a table. Every process computes with
one thread.

    python bench/peers.py [--generations 2] [--population 24] [--only NAME ...]

All of it takes more than half an hour, most of it "mergenetic" (20 seconds a candidate) and
"mergekit-evolve, in memory".

The peers are installed into environments of their own below `--environments`. What was changed to
let them run without a GPU is said in run_mergenetic.py and run_mergekit_evolve.py.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cpu_seconds import adopt_orphans, cpu_seconds
from peer_environments import peer_python
from peer_inputs import TASK, older_checkpoint, task_folder
from run_peer import Measured, PeerError, run_peer
from runs import costs, demo_config, run

BATCH_SIZE = 128
TSUGIKI = {
    "tsugiki, one job": {"jobs": 1, "tracked": False},
    "tsugiki, two jobs": {"jobs": 2, "tracked": False},
    "tsugiki, two jobs, MLflow": {"jobs": 2, "tracked": True},
}
PEERS = {
    "mergenetic": ("mergenetic", "run_mergenetic.py", {"keep_task": False}),
    "mergenetic, tasks kept": ("mergenetic", "run_mergenetic.py", {"keep_task": True}),
    "mergekit-evolve": ("mergekit-evolve", "run_mergekit_evolve.py", {"in_memory": False}),
    "mergekit-evolve, in memory": (
        "mergekit-evolve",
        "run_mergekit_evolve.py",
        {"in_memory": True},
    ),
}


def main() -> None:
    """Measure every search that was asked for, and print the table."""
    arguments = _arguments()
    adopt_orphans()
    root = arguments.results / "peers"
    prepared = _prepare(arguments)
    rows, failures = [], []
    for name in arguments.only:
        if name in TSUGIKI:
            rows.append(_tsugiki(name, arguments))
            continue
        environment, script, settings = PEERS[name]
        inputs = {
            **prepared,
            **settings,
            "work": str(root.resolve() / name.replace(" ", "-").replace(",", "")),
            "generations": arguments.generations,
            "population": arguments.population,
            "batch_size": BATCH_SIZE,
            "task": TASK,
        }
        try:
            python = peer_python(environment, arguments.environments)
            rows.append(run_peer(name, python, script, inputs))
        except PeerError as error:
            failures.append(f"{name} did not run: {error}")
    print_table(rows)
    print("\n".join(failures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=2)
    parser.add_argument("--population", type=int, default=24)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--environments", type=Path, default=Path("~/.cache/tsugiki/bench"))
    names = [*TSUGIKI, *PEERS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    arguments = parser.parse_args()
    arguments.environments = arguments.environments.expanduser()
    return arguments


def _prepare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train the parents, choose the documents, and write both as the peers read them."""
    config = _config(arguments, "peers-inputs", jobs=1)
    root = arguments.results / "peers-inputs"
    run(config, str(root / "items.json"), str(root / "parents.lock.json"))
    models = arguments.results / "demo-parents"
    parents = {
        name: str(older_checkpoint(folder, (root / "parents" / name).resolve()))
        for name in config["parents"]
        for folder in models.glob(f"{name}-seed{config['seed']}-*")
    }
    tasks = (root / "tasks").resolve()
    documents = task_folder(root / "items.json", tasks)
    return {"parents": parents, "tasks": str(tasks), "documents": documents}


def _tsugiki(name: str, arguments: argparse.Namespace) -> Measured:
    """The workflow from its command to the proposal that follows the last scored generation."""
    way = TSUGIKI[name]
    run_name = "peers-" + name.replace(" ", "-").replace(",", "").lower()
    root = arguments.results / run_name
    shutil.rmtree(root, ignore_errors=True)
    config = _config(arguments, run_name, jobs=way["jobs"])
    run(config, str(root / "items.json"), str(root / "parents.lock.json"))
    phase = root / "ps"
    targets = [phase / f"gen-{arguments.generations:03d}/population.json"]
    if way["tracked"]:
        targets.append(phase / f"gen-{arguments.generations - 1:03d}/tracked.json")
    began = time.time()
    wall, cpu = cpu_seconds(lambda: run(config, *map(str, targets)))
    candidates = costs(phase)
    return Measured(
        name=name,
        jobs=way["jobs"],
        candidates=len(candidates),
        wall=wall,
        start=min(datetime.fromisoformat(cost["started"]).timestamp() for cost in candidates)
        - began,
        forward=sum(cost["seconds_forward"] for cost in candidates),
        cpu=cpu,
        best=max(
            json.loads(path.read_bytes())["measured"]["ja_maths"]["value"]
            for path in phase.rglob("outcome.json")
        ),
    )


def _config(arguments: argparse.Namespace, name: str, *, jobs: int) -> dict[str, Any]:
    """The demo, with resident processes and nothing scored besides the objective."""
    config = demo_config(name=name, results=str(arguments.results))
    config["evaluation"] = {
        **config["evaluation"],
        "monitors": [],
        "batch_size": BATCH_SIZE,
        "jobs": jobs,
        "resident": True,
    }
    (stage,) = config["stages"]
    stage["strategy"]["population"] = arguments.population
    stage["budget"]["generations"] = arguments.generations
    return config


def print_table(rows: Sequence[Measured]) -> None:
    """Print the searches; the first is what the others are compared with."""
    print(
        f"\n| {'':26} | candidates | wall | start | per candidate | forward | outside"
        " | outside, after start | relative | wall / forward | CPU | best |"
    )
    print("|---" * 12 + "|")
    for row in rows:
        n = row.candidates
        print(
            f"| {row.name:26} | {n} | {row.wall:.1f} | {row.start:.1f} | {row.wall / n:.2f}"
            f" | {row.forward / n:.3f} | {row.outside:.2f} | {row.outside_after_start:.2f}"
            f" | {row.outside_after_start / rows[0].outside_after_start:.1f}"
            f" | {row.ratio:.2f} | {row.cpu / n:.2f} | {row.best:.3f} |"
        )
    print(
        "\nSeconds; from `per candidate` on divided by the number of candidates, ratios aside."
        "\noutside: of forward passes, times the processes that score at the same time."
        "\nrelative: outside, after start, against the first row."
        "\nCPU: of all processes, without those of Ray that score nothing."
        "\ntsugiki keeps and digests each recipe, score and answer; mergenetic keeps a table of genes"
        "\nand scores; mergekit-evolve keeps the best recipe, and computes in bfloat16."
    )


if __name__ == "__main__":
    main()
