"""What a candidate costs beyond its forward passes.

Runs the search of the embedded demo for a few generations in three ways, one after another, with
the same candidates: residents that serve all generations; one process per job and generation; one
process per candidate. Prints wall time / (forward time / jobs), which is 1 for a workflow that does
nothing but forward passes on all its cores, and the seconds per candidate outside of them.

    python bench/overhead.py [--generations 8] [--population 24]
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from runs import costs, demo_config, run


def main() -> None:
    """Run the three ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--population", type=int, default=24)
    parser.add_argument("--results", default="results")
    arguments = parser.parse_args()
    run(_config(arguments, "overhead-parents", resident=True), *_target(arguments, "items"))
    ways = {
        "resident processes": {"resident": True, "jobs": 2},
        "a process per job": {"resident": False, "jobs": 2},
        "a process per candidate": {"resident": False, "jobs": arguments.population},
    }
    rows = [_measure(arguments, name, way) for name, way in ways.items()]
    print(f"\n{'':26}{'wall':>8}{'forward':>10}{'ratio':>8}{'outside, per candidate':>26}")
    for name, wall, forward, ratio, outside in rows:
        print(f"{name:26}{wall:7.1f}s{forward:9.1f}s{ratio:8.2f}{outside:25.3f}s")
    print("\nforward: seconds in forward passes, divided by the two cores they run on")


def _measure(
    arguments: argparse.Namespace, name: str, way: dict[str, Any]
) -> tuple[str, float, float, float, float]:
    run_name = f"overhead-{name.replace(' ', '-')}"
    root = Path(arguments.results) / run_name
    shutil.rmtree(root, ignore_errors=True)
    config = _config(arguments, run_name, **way)
    run(config, str(root / "items.json"), str(root / "parents.lock.json"))
    target = root / "ps" / f"gen-{arguments.generations:03d}" / "population.json"
    wall = run(config, str(target))
    spent = costs(root / "ps")
    forward = sum(cost["seconds_forward"] for cost in spent) / 2
    return name, wall, forward, wall / forward, (wall - forward) * 2 / len(spent)


def _config(arguments: argparse.Namespace, name: str, **evaluation: Any) -> dict[str, Any]:
    config = demo_config(name=name, results=arguments.results)
    config["evaluation"] = {**config["evaluation"], **evaluation}
    (stage,) = config["stages"]
    stage["strategy"]["population"] = arguments.population
    stage["budget"]["generations"] = arguments.generations
    return config


def _target(arguments: argparse.Namespace, name: str) -> list[str]:
    return [str(Path(arguments.results) / f"overhead-parents/{name}.json")]


if __name__ == "__main__":
    main()
