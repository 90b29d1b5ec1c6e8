"""What a search costs beyond its forward passes, and from how many seconds of them on that is little.

Runs the search of the embedded demo for a few generations, in several ways one after another, with the
same candidates:

- residents that serve all generations, for each number of questions that `--items` names: the more
  questions, the longer a candidate's forward passes take;
- the same, with the generations tracked in MLflow meanwhile;
- one process per job and generation;
- one process per candidate, for a single generation, as it takes minutes.

Prints a row for each as soon as it is known. `ratio` is the wall time of the search divided by what its
forward passes would take, spread evenly over all jobs: 1 for a workflow that does nothing else. The
search begins with its first candidate and ends with its last selection; `start` is what comes before:
Snakemake, its plan, the first population, and processes that load libraries and parents. It is paid once
a run. The last columns say where the rest goes, in seconds: for each generation outside of its
candidates (Snakemake's jobs, ranking, selection, and jobs that wait for the slower one), and for each
candidate outside of its forward passes.

How long Snakemake plans a long run is in planning.py.

    python bench/overhead.py [--items 200 2048] [--generations 5] [--population 24] [--only resident]
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from runs import costs, demo_config, run

JOBS = 2
HEADER = (
    f"{'':32}{'questions':>10}{'candidates':>11}{'start':>8}{'search':>9}{'forward':>9}{'ratio':>7}"
    f"{'per generation':>16}{'per candidate':>15}{'forward':>9}"
)


@dataclass(frozen=True)
class Way:
    """How a search is run."""

    name: str
    resident: bool
    per_candidate: bool = False
    tracked: bool = False


WAYS = {
    "resident": Way("resident processes", resident=True),
    "mlflow": Way("resident processes, MLflow", resident=True, tracked=True),
    "job": Way("a process per job", resident=False),
    "candidate": Way("a process per candidate", resident=False, per_candidate=True),
}


def main() -> None:
    """Run the ways that are asked for, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[200, 2048])
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--population", type=int, default=24)
    parser.add_argument("--only", choices=WAYS, nargs="+", default=list(WAYS))
    parser.add_argument("--results", default="results")
    arguments = parser.parse_args()
    print(f"{HEADER}\n")
    for name in arguments.only:
        for items in arguments.items if name == "resident" else arguments.items[:1]:
            print(_row(arguments, WAYS[name], items), flush=True)


def _row(arguments: argparse.Namespace, way: Way, items: int) -> str:
    config = _config(arguments, way, items)
    generations = config["stages"][0]["budget"]["generations"]
    root = Path(arguments.results) / config["name"]
    shutil.rmtree(root, ignore_errors=True)
    run(config, str(root / "items.json"), str(root / "parents.lock.json"))
    targets = [root / "ps" / f"gen-{generations:03d}" / "population.json"]
    if way.tracked:
        targets.append(root / "ps" / f"gen-{generations - 1:03d}" / "tracked.json")
    begun = datetime.now().astimezone().timestamp()
    run(config, *map(str, targets))
    spent = costs(root / "ps")
    first = min(datetime.fromisoformat(cost["started"]).timestamp() for cost in spent)
    end = max(target.stat().st_mtime for target in targets)
    search = end - first
    forward = sum(cost["seconds_forward"] for cost in spent)
    outside = sum(cost["seconds_total"] for cost in spent) - forward
    in_candidates = sum(_share(root / "ps", g) for g in range(generations))
    return (
        f"{way.name:32}{items:10}{len(spent):11}{first - begun:7.1f}s{search:8.1f}s"
        f"{forward / JOBS:8.1f}s{search / (forward / JOBS):7.2f}"
        f"{(search - in_candidates) / generations:15.2f}s{outside / len(spent):14.3f}s"
        f"{forward / len(spent):8.3f}s"
    )


def _share(series: Path, generation: int) -> float:
    """Seconds for candidates, mean over the shares: what the slower one takes longer is overhead."""
    population = json.loads((series / f"gen-{generation:03d}" / "population.json").read_bytes())
    recipes = {candidate["recipe"] for candidate in population["candidates"]}
    files = [series / "candidates" / f"cand-{recipe[:12]}" / "cost.json" for recipe in recipes]
    return sum(float(json.loads(file.read_bytes())["seconds_total"]) for file in files) / JOBS


def _config(arguments: argparse.Namespace, way: Way, items: int) -> dict[str, Any]:
    name = f"overhead-{way.name.replace(',', '').replace(' ', '-')}-{items}".lower()
    config = demo_config(name=name, results=arguments.results)
    config["evaluation"] |= {
        "items": {"search": items, "validation": 10, "test": 10},
        "resident": way.resident,
        "jobs": arguments.population if way.per_candidate else JOBS,
    }
    (stage,) = config["stages"]
    stage["strategy"]["population"] = arguments.population
    stage["budget"]["generations"] = 1 if way.per_candidate else arguments.generations
    return config


if __name__ == "__main__":
    main()
