"""The embedded demo over several seeds: is evolution ahead of everything else every time, and by how much?

Each seed trains its own parents, poses its own questions, and draws its own candidates and masks. Prints
accuracy on the held-out Japanese maths for each seed and every row of the final table, and the lead of
the evolved merge over the best parent or baseline, over random search and the coordinate climb at equal
budget, and over the best of all of them: mean and median over the seeds, and the mean's interval.

    python bench/demo_seeds.py [--seeds 1 2 3 4 5]
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from scipy.stats import t as student

from runs import REPOSITORY, demo_config, run

TASKS = REPOSITORY / "config/tasks/demo"
SHOW = (
    "Chosen for show: the high learning rate of the expert in English maths, which makes it forget "
    "Japanese. With a low one the expert alone does well at the task, and the leads are small "
    "(docs/LOG.md). Numbers differ from processor to processor, since training does in its last bits."
)


def compare(
    about: str,
    seeds: Sequence[int],
    prepare: Callable[[int, Path], dict[str, Any]],
    note: str,
) -> None:
    """Run some seeds as the command line says (finished ones are only read) and print the table.

    Args:
        about: What the benchmark is.
        seeds: Those that are run if nothing else is said.
        prepare: Makes what a seed's run needs, and its configuration, in a folder of results.
        note: What is chosen for show.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    tables = {}
    for seed in arguments.seeds:
        config = prepare(seed, arguments.results)
        wall = run(config)
        final = arguments.results / config["name"] / "final.json"
        tables[seed] = json.loads(final.read_bytes())
        print(f"seed {seed}: {wall:.0f} s", flush=True)
    show(tables, note)


def seed_config(seed: int, results: Path) -> dict[str, Any]:
    """The demo with parents and questions of a seed of its own; its tasks are written beside the runs."""
    tasks = task_folder(TASKS, seed, results / "demo-seeds-tasks" / str(seed))
    config = demo_config(
        name=f"demo-seed{seed}",
        seed=seed,
        results=str(results),
        rivals=["random", "climb"],
        parents={kind: {"demo": kind, "seed": seed} for kind in ("base", "japanese", "maths")},
    )
    config["evaluation"] = {**config["evaluation"], "task_paths": [str(tasks.resolve())]}
    return config


def trained_config(example: str, module: str, seed: int, results: Path) -> dict[str, Any]:
    """The configuration of an example whose parents a module trains: with those of a seed, and questions of its own.

    Args:
        example: Name of the configuration, of its tasks' folder, and of its parents'.
        module: Called with a folder and the seed, it makes the parents.
        seed: Their seed.
        results: Folder of results.
    """
    home = results / f"{example}-parents"
    command = [sys.executable, "-m", module, str(home), str(seed)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    path = REPOSITORY / f"config/{example}.yaml"
    config: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    tasks = REPOSITORY / "config/tasks" / example
    folder = task_folder(tasks, seed, results / f"{example}-seeds-tasks" / str(seed))
    places = {
        name: home / Path(one["path"]).name.replace("-seed1", f"-seed{seed}")
        for name, one in config["parents"].items()
    }
    return config | {
        "name": f"{example}-seed{seed}",
        "seed": seed,
        "results": str(results),
        "parents": {
            name: {**one, "path": str(places[name])} for name, one in config["parents"].items()
        },
        "evaluation": {**config["evaluation"], "task_paths": [str(folder.resolve())]},
    }


def task_folder(tasks: Path, seed: int, folder: Path) -> Path:
    """Write a folder of tasks with the questions of a seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for code in tasks.glob("*.py"):
        shutil.copy(code, folder)
    for path in sorted(tasks.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        (folder / path.name).write_text(
            f"{text}dataset_kwargs: {{seed: {seed}}}\n", encoding="utf-8"
        )
    return folder


def show(tables: dict[int, dict[str, Any]], note: str) -> None:
    """Print scores and leads of final tables by seed, and a note."""
    scores = {seed: _scores(table) for seed, table in tables.items()}
    names = sorted(
        next(iter(scores.values())),
        key=lambda name: -statistics.mean(of_seed[name] for of_seed in scores.values()),
    )
    seeds = "".join(f"  seed {seed}" for seed in scores)
    print(f"\n{'accuracy on held-out items':32}{seeds}     mean")
    for name in names:
        values = [of_seed[name] for of_seed in scores.values()]
        mean, half = mean_and_half_width(values)
        cells = "".join(f"{value:8.3f}" for value in values)
        print(f"{name:32}{cells}{mean:9.3f} ± {half:.3f}")
    print(f"\n{'the evolved merge is ahead of':32}{seeds}     mean            median")
    for over, of_seed in leads(tables).items():
        mean, half = mean_and_half_width(of_seed)
        cells = "".join(f"{value:8.3f}" for value in of_seed)
        print(f"{over:32}{cells}{mean:9.3f} ± {half:.3f} {statistics.median(of_seed):9.3f}")
    for seed, table in tables.items():
        closest = max(_others(table), key=lambda row: _value(table, row))
        difference = closest["against_winner"]
        print(
            f"seed {seed}: ahead of {closest['name']} by {difference['value']:.3f}"
            f" [{difference['low']:.3f}, {difference['high']:.3f}], paired p = {difference['p']:.2g}"
        )
    print(f"±: half of the 95 % interval across seeds (Student's t).\n{note}")


def leads(tables: dict[int, dict[str, Any]]) -> dict[str, list[float]]:
    """The winner's lead in each seed over the best of some rows, by what these rows are.

    Args:
        tables: final.json by seed.

    Returns:
        Those over rivals only where all tables have them.
    """
    kinds = {"rival", "stage", "parent", "base", "baseline"}
    chosen = {
        "the best parent or baseline": lambda row: row["kind"] != "rival",
        "random search": lambda row: row["name"] == "random search",
        "the coordinate climb": lambda row: row["name"] == "coordinate climb",
        "the best of all of them": lambda row: row["kind"] in kinds,
    }
    found = {}
    for over, wanted in chosen.items():
        best = [
            max((_value(table, row) for row in _others(table) if wanted(row)), default=math.nan)
            for table in tables.values()
        ]
        won = [_scores(table)["evolved"] for table in tables.values()]
        of_seed = [ours - theirs for ours, theirs in zip(won, best, strict=True)]
        if not any(map(math.isnan, of_seed)):
            found[over] = of_seed
    return found


def _others(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows that the winner is compared with: those of no other search of the run's own."""
    return [row for row in table["rows"] if row["kind"] not in {"evolved", "finalist"}]


def _scores(table: dict[str, Any]) -> dict[str, float]:
    return {row["name"]: _value(table, row) for row in table["rows"] if row["kind"] != "finalist"}


def _value(table: dict[str, Any], row: dict[str, Any]) -> float:
    return float(row["test"][table["objective"]]["value"])


def mean_and_half_width(values: list[float]) -> tuple[float, float]:
    """Mean over seeds, and half of its 95 % interval by Student's t with n - 1 degrees of freedom."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return mean, math.nan
    quantile = float(student.ppf(0.975, len(values) - 1))
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))


if __name__ == "__main__":
    compare(__doc__, range(1, 6), seed_config, SHOW)
