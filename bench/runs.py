"""Running the workflow from a benchmark, and reading what it cost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
DEMO = REPOSITORY / "config/config.yaml"
PROFILE = REPOSITORY / "config/profiles/default"


def demo_config(**changes: Any) -> dict[str, Any]:
    """The embedded demo's configuration without rivals, with top-level keys replaced."""
    config: dict[str, Any] = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    return {**config, "rivals": [], **changes}


def run(
    config: dict[str, Any],
    *targets: str,
    profile: Path = PROFILE,
    environment: dict[str, str] | None = None,
) -> float:
    """Run the workflow (or only some targets) and return the wall time in seconds.

    Its words go to standard error: standard output is the benchmark's.
    """
    path = Path(config["results"]) / f"{config['name']}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", *targets]
    command += ["--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--profile", str(profile)]
    command += ["--configfile", str(path)]
    started = time.perf_counter()
    subprocess.run(command, check=True, cwd=REPOSITORY, stdout=sys.stderr, env=environment)
    return time.perf_counter() - started


def costs(phase: Path) -> list[dict[str, Any]]:
    """cost.json of every candidate of a phase."""
    return [json.loads(path.read_bytes()) for path in sorted(phase.rglob("cost.json"))]
