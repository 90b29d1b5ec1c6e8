"""What a generation costs on SLURM beyond its forward passes, and the same on one machine.

Starts the tests' one-machine SLURM and runs the search of the embedded demo on it, through the
shipped profile; then the same candidates here, with a process for each job. Prints where the wall
time between two populations goes, as a mean over generations.

    python bench/overhead_slurm.py [--generations 4] [--population 16] [--jobs 2]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from generation_times import FORWARD, PARTS, SlurmClock, mean_parts, parts_of
from runs import REPOSITORY, demo_config, run
from tsugiki.contracts.layout import RunFiles

sys.path.append(str(REPOSITORY))
from tests.slurm.cluster import Cluster, missing_programs, running_cluster

PROFILE = REPOSITORY / "config/profiles/slurm"


def main(given: Sequence[str] | None = None) -> None:
    """Run both, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=4)
    parser.add_argument("--population", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", default="results")
    parser.add_argument("--profile", type=Path, default=PROFILE)
    arguments = parser.parse_args(given)
    if missing := missing_programs():
        sys.exit(f"no SLURM here ({missing[0]} is missing): run tests/slurm/install.sh as root")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    slurm = _on_slurm(arguments)
    local = _measure(arguments, "local")
    print(f"\n{'seconds of a generation':38}{'SLURM':>9}{'one machine':>14}")
    for name in PARTS:
        print(f"{name:38}{slurm[name]:9.2f}{local[name]:14.2f}")
    walls = [sum(parts.values()) for parts in (slurm, local)]
    print(f"{'wall':38}{walls[0]:9.2f}{walls[1]:14.2f}")
    print(f"{'wall / forward':38}{walls[0] / slurm[FORWARD]:9.2f}{walls[1] / local[FORWARD]:14.2f}")


def _on_slurm(arguments: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        root = Path(name)
        clock = SlurmClock(root / "clock")
        with running_cluster(root / "cluster", more=clock.configuration) as cluster:
            clock.wrap_sbatch(cluster.root / "bin")
            return _measure(arguments, "slurm", cluster=cluster, clock=clock)


def _measure(
    arguments: argparse.Namespace,
    name: str,
    *,
    cluster: Cluster | None = None,
    clock: SlurmClock | None = None,
) -> dict[str, float]:
    config = _config(arguments, f"overhead-{name}")
    files = RunFiles(Path(arguments.results) / f"overhead-{name}")
    shutil.rmtree(files.root, ignore_errors=True)
    run(config, str(files.items), str(files.parents))
    phase = files.phase("ps")
    target = str(phase.generation(arguments.generations).population)
    if cluster is None:
        run(config, target)
    else:
        run(config, target, profile=arguments.profile, environment=cluster.environment)
    return mean_parts(
        [
            parts_of(files, "ps", generation, arguments.jobs, clock.jobs() if clock else ())
            for generation in range(arguments.generations)
        ]
    )


def _config(arguments: argparse.Namespace, name: str) -> dict[str, Any]:
    config = demo_config(name=name, results=arguments.results)
    config["evaluation"] = {**config["evaluation"], "jobs": arguments.jobs, "resident": False}
    (stage,) = config["stages"]
    stage["strategy"]["population"] = arguments.population
    stage["budget"]["generations"] = arguments.generations
    return config


if __name__ == "__main__":
    main()
