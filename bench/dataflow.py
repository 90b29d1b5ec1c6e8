"""Data-flow space on the embedded demo: which strategy, and does it help?

Prints two tables of accuracy on held-out Japanese maths, each with the mean over seeds and its 95 %
interval: strategies in data-flow space at equal budget, and parameter space, data-flow space and
the hybrid beside the best parent and the best baseline. Finished runs are only read.

    python bench/dataflow.py [--seeds 1 2 3 4 5] [--generations 8] [--population 16]
                             [--tables strategies spaces] [--strategies bit_cma random]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from demo_seeds import mean_and_half_width
from runs import REPOSITORY, run

HYBRID = REPOSITORY / "config/hybrid.yaml"
STRATEGIES = ("bit_cma", "cma_es_margin", "cma_es", "random")


def main() -> None:
    """Run what is asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--population", type=int, default=16)
    parser.add_argument("--tables", nargs="+", default=["strategies", "spaces"])
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--results", default="results")
    arguments = parser.parse_args()
    if "strategies" in arguments.tables:
        rows: dict[str, list[float]] = {name: [] for name in ("owner", *arguments.strategies)}
        for seed in arguments.seeds:
            for strategy in arguments.strategies:
                table = _finished(_one_stage(arguments, seed, strategy))
                rows[strategy].append(_score(table, "evolved"))
            rows["owner"].append(_score(table, "japanese"))
        evaluations = arguments.generations * arguments.population
        _print(f"data-flow space, {evaluations} candidates", arguments.seeds, rows)
    if "spaces" in arguments.tables:
        rows = {name: [] for name in ("best parent", "best baseline", "PS", "DFS", "PS + DFS")}
        for seed in arguments.seeds:
            table = _finished(_three_stages(arguments, seed))
            names = (table["best_parent"], table["best_baseline"], "ps", "dfs", "evolved")
            for row, name in zip(rows, names, strict=True):
                rows[row].append(_score(table, name))
        _print("spaces", arguments.seeds, rows)


def _three_stages(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(HYBRID.read_text(encoding="utf-8"))
    budget = f"{arguments.generations}x{arguments.population}"
    config |= {"name": f"spaces-{budget}-seed{seed}", "seed": seed, "results": arguments.results}
    config["rivals"] = []
    config["parents"] = {kind: {"demo": kind, "seed": seed} for kind in config["parents"]}
    for stage in config["stages"]:
        stage["budget"] = {"generations": arguments.generations}
        stage["strategy"] = {**stage["strategy"], "population": arguments.population}
    return config


def _one_stage(arguments: argparse.Namespace, seed: int, strategy: str) -> dict[str, Any]:
    config = _three_stages(arguments, seed)
    stage = next(one for one in config["stages"] if one["name"] == "dfs")
    stage["strategy"] = {"kind": strategy, "population": arguments.population}
    name = config["name"].replace("spaces", strategy.replace("_", "-"))
    return {**config, "name": name, "stages": [stage], "baselines": []}


def _finished(config: dict[str, Any]) -> dict[str, Any]:
    path = Path(config["results"]) / config["name"] / "final.json"
    if not path.is_file():
        print(f"{config['name']}: {run(config):.0f} s", flush=True)
    table: dict[str, Any] = json.loads(path.read_bytes())
    return table


def _score(table: dict[str, Any], name: str) -> float:
    row = next(row for row in table["rows"] if row["name"] == name)
    return float(row["test"][table["objective"]]["value"])


def _print(title: str, seeds: list[int], rows: dict[str, list[float]]) -> None:
    print(f"\n{title:28}" + "".join(f"  seed {seed}" for seed in seeds) + "     mean")
    for name, values in rows.items():
        mean, half = mean_and_half_width(values)
        cells = "".join(f"{value:8.3f}" for value in values)
        print(f"{name:28}{cells}{mean:9.3f} ± {half:.3f}")


if __name__ == "__main__":
    main()
