"""What a search costs beyond its forward passes, and from how many seconds of them on that is little.

Runs the search of the embedded demo for a few generations, in several ways one after another, with the
same candidates:

- residents that serve all generations, for each number of questions that `--items` names;
- the same, with parents of the widths that `--widths` names, of random weights: the demo's models, 64
  wide, take a millisecond for a question, and models that people merge take a hundred and more;
- the same, with the generations tracked in MLflow meanwhile;
- one process per job and generation;
- one process per candidate, for two small generations, as it takes minutes.

Prints a row for each as soon as it is known (to standard output; Snakemake's words go to the other).
`ratio` is wall time divided by what the forward passes would take, spread evenly over all jobs: 1 for a
workflow that does nothing else. `whole` has everything, from the command to its end: Snakemake, its
plan, and processes that load libraries and parents, which is paid once a run. `steady` is what a long
run comes to: from the second generation on.

The last columns say where the rest goes in the steady part, in seconds: for each generation outside of
its candidates (Snakemake's jobs, ranking, selection, and jobs that wait for the slower one), and for
each candidate outside of its forward passes.

How long Snakemake plans a long run is in planning.py. With `--slurm`, overhead_slurm.py follows.

    python bench/overhead.py [--items 64 512 1900] [--widths 256 512] [--generations 5]
                             [--population 24] [--only resident] [--slurm]
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import overhead_slurm
from runs import demo_config, run
from tsugiki.demo.specification import SHAPE
from wide_parents import save_wide_parents

JOBS = 2
WIDE = 4
"""How many times as many questions wider parents get: with few, their merge is most of the time."""
FEW = 4
"""Candidates of a generation where each has a process of its own."""
HEADER = f"""{"":32}{"width":>6}{"questions":>10}{"candidates":>11}{"wall":>9}{"forward":>9}{"ratio":>17}{"seconds per":>14}
{"":32}{"":>6}{"":>10}{"":>11}{"":>9}{"/ jobs":>9}{"whole":>8}{"steady":>9}{"generation":>14}{"candidate":>11}{"forward":>9}"""


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
    parser.add_argument("--items", type=int, nargs="+", default=[64, 512, 1900])
    parser.add_argument("--widths", type=int, nargs="*", default=[256, 512])
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--population", type=int, default=24)
    parser.add_argument("--only", choices=WAYS, nargs="+", default=list(WAYS))
    parser.add_argument("--results", default="results")
    parser.add_argument("--slurm", action="store_true")
    arguments = parser.parse_args()
    print(HEADER, flush=True)
    few = arguments.items[0]
    for name in arguments.only:
        sizes = [(few, SHAPE.hidden)]
        if name == "resident":
            sizes = [(items, SHAPE.hidden) for items in arguments.items]
            sizes += [(WIDE * few, width) for width in arguments.widths]
        for items, width in sizes:
            print(_row(arguments, WAYS[name], items, width), flush=True)
    if arguments.slurm:
        overhead_slurm.main([])


def _row(arguments: argparse.Namespace, way: Way, items: int, width: int) -> str:
    config = _config(arguments, way, items, width)
    generations = config["stages"][0]["budget"]["generations"]
    root = Path(arguments.results) / config["name"]
    shutil.rmtree(root, ignore_errors=True)
    run(config, str(root / "items.json"), str(root / "parents.lock.json"))
    populations = [root / "ps" / f"gen-{g:03d}" / "population.json" for g in range(generations + 1)]
    tracked = [root / "ps" / f"gen-{generations - 1:03d}" / "tracked.json"] * way.tracked
    wall = run(config, str(populations[-1]), *map(str, tracked))
    drawn = [_candidates(population) for population in populations[:-1]]
    spent = {candidate: _cost(candidate) for generation in drawn for candidate in generation}
    forward = sum(cost["seconds_forward"] for cost in spent.values())
    later = [spent[candidate] for generation in drawn[1:] for candidate in generation]
    steady = populations[-1].stat().st_mtime - populations[1].stat().st_mtime
    passes = sum(cost["seconds_forward"] for cost in later)
    total = sum(cost["seconds_total"] for cost in later)
    return (
        f"{way.name:32}{width:6}{items:10}{len(spent):11}{wall:8.1f}s{forward / JOBS:8.1f}s"
        f"{wall / (forward / JOBS):8.2f}{steady / (passes / JOBS):9.2f}"
        f"{(steady - total / JOBS) / len(drawn[1:]):13.3f}s{(total - passes) / len(later):10.3f}s"
        f"{passes / len(later):8.3f}s"
    )


def _candidates(population: Path) -> list[Path]:
    """Folders of a generation's candidates."""
    folder = population.parents[1] / "candidates"
    candidates = json.loads(population.read_bytes())["candidates"]
    return [folder / f"cand-{candidate['recipe'][:12]}" for candidate in candidates]


def _cost(candidate: Path) -> dict[str, Any]:
    cost: dict[str, Any] = json.loads((candidate / "cost.json").read_bytes())
    return cost


def _config(arguments: argparse.Namespace, way: Way, items: int, width: int) -> dict[str, Any]:
    name = f"overhead-{way.name.replace(',', '').replace(' ', '-')}-{items}-{width}".lower()
    config = demo_config(name=name, results=arguments.results)
    config["evaluation"] |= {
        "items": {"search": items, "validation": 10, "test": 10},
        "resident": way.resident,
        "jobs": FEW if way.per_candidate else JOBS,
    }
    if width != SHAPE.hidden:
        config["parents"] = save_wide_parents(Path(arguments.results) / "wide-parents", width)
    (stage,) = config["stages"]
    stage["strategy"]["population"] = FEW if way.per_candidate else arguments.population
    stage["budget"]["generations"] = 2 if way.per_candidate else arguments.generations
    return config


if __name__ == "__main__":
    main()
