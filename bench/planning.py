"""How long Snakemake plans a long run before its first job, against its start with nothing to plan.

Plans a run of many generations without running anything (`snakemake -n`), and an empty Snakefile, and
prints processor seconds and their ratio. The number of jobs of a generation decides, not the number
of candidates: a job takes a share of them.

    python bench/planning.py [--generations 100] [--population 32]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from cpu_seconds import command_seconds
from runs import REPOSITORY, demo_config

SHARES = (1, 8, 32)


def main() -> None:
    """Plan, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=100)
    parser.add_argument("--population", type=int, default=32)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = folder / "Snakefile"
        empty.write_text("rule all:\n")
        start = _processor_seconds(["--snakefile", str(empty), "--cores", "1"], folder)
        print(f"{'':34}{'seconds':>9}{'ratio':>8}")
        print(f"{'an empty Snakefile':34}{start:9.1f}{1.0:8.1f}")
        for jobs in SHARES:
            config = folder / f"{jobs}.yaml"
            config.write_text(yaml.safe_dump(_config(arguments, folder, jobs)))
            seconds = _processor_seconds(
                ["--profile", "config/profiles/default", "--configfile", str(config)], REPOSITORY
            )
            label = f"{arguments.generations} generations of {jobs} jobs"
            print(f"{label:34}{seconds:9.1f}{seconds / start:8.1f}")


def _config(arguments: argparse.Namespace, folder: Path, jobs: int) -> dict[str, Any]:
    config = demo_config(name=f"planning-{jobs}", results=str(folder / "results"))
    config["evaluation"]["jobs"] = jobs
    (stage,) = config["stages"]
    stage["strategy"]["population"] = arguments.population
    stage["budget"]["generations"] = arguments.generations
    return config


def _processor_seconds(arguments: list[str], folder: Path) -> float:
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", *arguments]
    return command_seconds(command, folder)


if __name__ == "__main__":
    main()
