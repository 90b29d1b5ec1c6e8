"""The embedded demo over several seeds: does evolution beat everything else every time?

Each seed trains its own parents and draws its own documents, candidates and masks. Prints, for
each seed and for their mean, accuracy on the held-out Japanese maths of the evolved merge, the best
parent, and every baseline, and the smallest lead of the evolved merge with its 95 % interval.

    python bench/demo_seeds.py [--seeds 1 2 3 4 5]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

from runs import demo_config, run


def main() -> None:
    """Run the seeds (finished ones are only read) and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--results", default="results")
    arguments = parser.parse_args()
    tables = {}
    for seed in arguments.seeds:
        name = f"demo-seed{seed}"
        parents = {kind: {"demo": kind, "seed": seed} for kind in ("base", "japanese", "maths")}
        wall = run(demo_config(name=name, seed=seed, results=arguments.results, parents=parents))
        tables[seed] = json.loads((Path(arguments.results) / name / "final.json").read_bytes())
        print(f"seed {seed}: {wall:.0f} s", flush=True)
    _print(tables)


def _print(tables: dict[int, dict[str, Any]]) -> None:
    scores = {seed: _scores(table) for seed, table in tables.items()}
    names = sorted(
        next(iter(scores.values())),
        key=lambda name: -statistics.mean(of_seed[name] for of_seed in scores.values()),
    )
    print(
        f"\n{'accuracy on held-out items':28}"
        + "".join(f"  seed {seed}" for seed in scores)
        + "     mean"
    )
    for name in names:
        values = [of_seed[name] for of_seed in scores.values()]
        mean, half = mean_and_half_width(values)
        print(
            f"{name:28}"
            + "".join(f"{value:8.3f}" for value in values)
            + f"{mean:9.3f} ± {half:.3f}"
        )
    leads = {
        seed: min(
            of_seed["evolved"] - value for name, value in of_seed.items() if name != "evolved"
        )
        for seed, of_seed in scores.items()
    }
    print(f"\n{'lead over the best other':28}" + "".join(f"{lead:8.3f}" for lead in leads.values()))
    print(
        f"evolved is ahead of every parent and baseline in {sum(v > 0 for v in leads.values())} of {len(leads)} seeds"
    )
    for seed, table in tables.items():
        closest = max(
            (row for row in table["rows"] if row["kind"] not in {"evolved", "finalist"}),
            key=lambda row: _value(table, row),
        )
        difference = closest["against_winner"]
        print(
            f"seed {seed}: ahead of {closest['name']} by {difference['value']:.3f}"
            f" [{difference['low']:.3f}, {difference['high']:.3f}], paired p = {difference['p']:.2g}"
        )


def _scores(table: dict[str, Any]) -> dict[str, float]:
    return {row["name"]: _value(table, row) for row in table["rows"] if row["kind"] != "finalist"}


def _value(table: dict[str, Any], row: dict[str, Any]) -> float:
    return float(row["test"][table["objective"]]["value"])


def mean_and_half_width(values: list[float]) -> tuple[float, float]:
    """Mean over few seeds, and half its 95 % interval (Student's t, five seeds: 2.776)."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return mean, math.nan
    quantile = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}.get(len(values), 2.0)
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))


if __name__ == "__main__":
    main()
