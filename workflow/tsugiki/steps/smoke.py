"""A run in small, before the real one: every step to the report, and how long the real one takes by it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tsugiki import atomic
from tsugiki.config.evaluation import Evaluation
from tsugiki.config.load import dump_config, parse_config
from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import REPEAT, TEST, RunFiles
from tsugiki.contracts.ledger import read_population
from tsugiki.contracts.locks import read_lock
from tsugiki.contracts.outcome import Cost, read_cost
from tsugiki.errors import ConfigError, TsugikiError
from tsugiki.parents.preflight import preflight
from tsugiki.progress.progress import duration
from tsugiki.steps.estimate import shares

DOCUMENTS = 2
"""Of each task, in each of the three sets."""
POINTS = 2
"""Of the grid of each baseline, or of its random stacks."""
CONFIG = "smoke.yaml"
"""The small configuration, in the folder of its run: by it that is known as one to be replaced."""
PROFILE = Path("config/profiles/default")


def small_config(config: RunConfig) -> RunConfig:
    """The configuration of a run in small.

    Two documents, one generation of each stage, one finalist, two points of each baseline's grid, no rivals; all
    else is the same, but results and tracking are in a folder of their own.
    """
    raw: dict[str, Any] = config.model_dump(mode="json")
    raw["name"] = f"{config.name}-smoke"
    evaluation = raw["evaluation"]
    evaluation["items"] |= dict.fromkeys(("search", "validation", "test"), DOCUMENTS)
    for key in ("rungs", "subsets"):
        evaluation.pop(key, None)
    for stage in raw["stages"]:
        stage["budget"] = {"generations": 1}
    for baseline in raw["baselines"]:
        few = "sample" if baseline["kind"] == "merge" else "random"
        if few == "sample" or baseline[few] is not None:
            baseline[few] = min(baseline.get(few) or POINTS, POINTS)
    raw["finalists"] |= {"top": 1, "mean": False}
    raw["rivals"] = []
    raw["tracking"] |= {"uri": None, "experiment": None}
    return parse_config(raw, where=f"{config.name} in small")


def run_small(config: RunConfig, arguments: Sequence[str]) -> RunFiles:
    """Run the workflow in small, from its start; what an earlier smoke run wrote is replaced.

    Without `arguments`, Snakemake is given those for one machine.

    Raises:
        ConfigError: another folder stands where its results would go.
        TsugikiError: a step has failed.
    """
    small = small_config(config)
    files = RunFiles(small.folder)
    path = files.root / CONFIG
    if files.root.exists() and not path.is_file():
        raise ConfigError(
            "a folder that no smoke run has made stands where its results would go",
            where=str(files.root),
            fix="move it away, or set another `name`",
        )
    shutil.rmtree(files.root, ignore_errors=True)
    atomic.write_bytes(path, dump_config(small))
    here = ["--profile", str(PROFILE)] if PROFILE.is_dir() else ["--cores", "all"]
    command = [sys.executable, "-m", "snakemake", *(arguments or here), "--configfile", str(path)]
    if subprocess.run(command, check=False).returncode != 0:
        raise TsugikiError(
            "the smoke run has failed",
            where=str(files.root),
            fix="mend what it says above: the real run would fail in the same way",
        )
    return files


def estimate_by(files: RunFiles, config: RunConfig) -> str:
    """How long scoring takes in the real run on this machine, by what it took in small.

    `files` are those of the smoke run, `config` is that of the real one.
    """
    small = small_config(config)
    by_phase = {phase: _costs(files, phase) for phase in small.phases}
    costs = [cost for of_phase in by_phase.values() for cost in of_phase]
    parts = shares(config, preflight(config, read_lock(files.parents)).tensors)
    candidates, answers = (
        sum(getattr(one, key) for one in parts) for key in ("candidates", "answers")
    )
    if not costs:
        return "no model was scored"
    asked = sum(len(of) * _answers(small.evaluation, phase) for phase, of in by_phase.items())
    merges = [cost.seconds_merge for cost in costs]
    models = median(merges)  # the first one of a process reads the parents
    # all that is not merging grows with the answers: forward passes, a judge's, tests of programs, functions
    answering = sum(cost.seconds_total - cost.seconds_merge for cost in costs) / asked
    seconds = (candidates * models + answers * answering) / config.evaluation.jobs
    return (
        f"smoke run: {len(costs)} models scored, {models:.2g} s for a model and {answering:.2g} s for an answer "
        f"each; the real run asks for {answers:,} answers of {candidates:,} models at most: "
        f"{duration(seconds)} of scoring on this machine with {config.evaluation.jobs} jobs. Batches of "
        f"{DOCUMENTS} documents are slower than full ones, so that it is rather less"
    )


def _answers(evaluation: Evaluation, phase: str) -> int:
    """How often each model of a phase is asked."""
    measured = evaluation.measured if phase in (TEST, REPEAT) else evaluation.objectives
    tasks = {one.task for one in measured}
    return DOCUMENTS * sum(evaluation.repeats.get(task, 1) for task in tasks)


def _costs(files: RunFiles, phase: str) -> list[Cost]:
    """What each recipe of a phase cost."""
    folder = files.phase(phase)
    population = folder.generation(0).population
    if not population.is_file():
        return []
    recipes = dict.fromkeys(one.recipe for one in read_population(population).candidates)
    found = (read_cost(folder.candidate(recipe).cost) for recipe in recipes)
    return [cost for cost in found if cost is not None]
