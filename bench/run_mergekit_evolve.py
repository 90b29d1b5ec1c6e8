"""Run mergekit-evolve on CPU; runs in its own environment.

Usage: run_mergekit_evolve.py INPUTS.json. Its command is called as it ships. It wants GPUs: Ray is
told of one that is not there, and mergekit_evolve_worker.py says what its workers need.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ray
import yaml
from mergekit.scripts import evolve


def main(path: str) -> None:
    """Evolve as the inputs say."""
    inputs = json.loads(Path(path).read_text(encoding="utf-8"))
    work = Path(inputs["work"])
    parents = inputs["parents"]
    genome = work / "genome.yaml"
    genome.write_text(
        yaml.safe_dump(
            {
                "genome": {
                    "models": [parents["japanese"], parents["maths"]],
                    "base_model": parents["base"],
                    "merge_method": "dare_ties",
                    "layer_granularity": 1,
                    "normalize": False,
                },
                "tasks": [{"name": inputs["task"], "metric": "exact_match,none"}],
                "apply_chat_template": False,
                "fewshot_as_multiturn": False,
            }
        ),
        encoding="utf-8",
    )
    ray.init(
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        runtime_env={"worker_process_setup_hook": "mergekit_evolve_worker.set_up"},
    )
    evolve.main(
        [
            str(genome),
            *("--storage-path", str(work / "storage")),
            *("--task-search-path", inputs["tasks"]),
            *("--max-fevals", str(inputs["generations"] * inputs["population"])),
            *("--force-population-size", str(inputs["population"])),
            *("--batch-size", str(inputs["batch_size"])),
            *("--num-gpus", "1"),
            "--in-memory" if inputs["in_memory"] else "--no-in-memory",
            "--no-merge-cuda",
            "--no-save-final-model",
        ],
        standalone_mode=False,
    )
    ray.shutdown()


main(*sys.argv[1:])
