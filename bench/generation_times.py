"""Where the wall time of a generation goes: read from the files that a run leaves, and from a SLURM.

Of when a job was submitted, started and ended, `scontrol` knows the second only.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.population import Population
from tsugiki.evaluate.shards import shard_of

FORWARD = "candidates: forward passes"
PARTS = (
    "population drawn -> sbatch called",
    "sbatch",
    "waiting in the queue",
    "job starts -> tsugiki evaluate",
    "libraries imported",
    "tasks set up",
    "parents, first model",
    FORWARD,
    "candidates: the rest",
    "last candidate -> job ends",
    "job ends -> rank starts",
    "rank, select",
)
"""What follows on what, from one population to the next; the share that ended last counts."""

SBATCH = """#!/bin/sh
before=$(date +%s.%N)
job=$({sbatch} "$@") || exit $?
after=$(date +%s.%N)
echo "$job"
while [ "$1" != --comment ]; do shift; done
echo "$before $after $2" > {times}/"$job".submitted
"""
MARK = """#!/bin/sh
date +%s.%N > {times}/"$SLURM_JOB_ID".{what}
"""

STARTED = re.compile(r"libraries: ([\d.]+) s, tasks: ([\d.]+) s")


@dataclass(frozen=True)
class Share:
    """A job's candidates. All times in seconds, points in time since the epoch."""

    begun: float
    """`tsugiki evaluate` has read its configuration, and begins."""
    libraries: float
    tasks: float
    first: float
    """The first candidate was begun."""
    last: float
    """The last one was done."""
    parents: float
    """What the first merge took longer than the others: parents are read when they are first used."""
    forward: float


@dataclass(frozen=True)
class SlurmJob:
    """Times in seconds since the epoch."""

    number: int
    rule: str
    """`rule_<name>_wildcards_<their values>`."""
    called: float
    """`sbatch` was called."""
    submitted: float
    """It returned."""
    started: float
    ended: float


class SlurmClock:
    """Writes down times through a prolog, an epilog and an `sbatch` around the real one."""

    def __init__(self, root: Path) -> None:
        self._times = root / "times"
        self._times.mkdir(parents=True)
        for name, what in (("prolog", "started"), ("epilog", "ended")):
            _write_program(root / name, MARK.format(times=self._times, what=what))
        self.configuration = f"Prolog={root}/prolog\nEpilog={root}/epilog\n"
        """Lines for slurm.conf."""

    def wrap_sbatch(self, programs: Path) -> None:
        """Put an `sbatch` into a folder that is searched before the real one's."""
        script = SBATCH.format(sbatch=shutil.which("sbatch"), times=self._times)
        _write_program(programs / "sbatch", script)

    def jobs(self) -> list[SlurmJob]:
        """All jobs that have ended."""
        return [self._read(path) for path in self._times.glob("*.submitted")]

    def _read(self, path: Path) -> SlurmJob:
        called, submitted, rule = path.read_text().split()
        started, ended = (
            float(path.with_suffix(f".{what}").read_text()) for what in ("started", "ended")
        )
        return SlurmJob(int(path.stem), rule, float(called), float(submitted), started, ended)


def _write_program(path: Path, script: str) -> None:
    path.write_text(script)
    path.chmod(0o755)


def parts_of(
    files: RunFiles, stage: str, generation: int, jobs: int, submitted: Sequence[SlurmJob] = ()
) -> dict[str, float]:
    """Seconds by part; they sum to the time between two populations.

    Without submitted jobs, those of a run on one machine.
    """
    phase = files.phase(stage)
    begin = phase.generation(generation).population.stat().st_mtime
    end = phase.generation(generation + 1).population.stat().st_mtime
    rank = _start_of_rank(files, stage, generation)
    shares = {job: _read_share(files, stage, generation, job, jobs) for job in range(jobs)}
    number, share = max(shares.items(), key=lambda one: one[1].last)
    rule = f"rule_evaluate_wildcards_{stage}_{generation:03d}_{number}"
    if submitted:  # the last attempt
        job = max((one for one in submitted if one.rule == rule), key=lambda one: one.number)
    else:
        job = SlurmJob(0, rule, begin, begin, begin, share.last)
    points = (
        begin, job.called, job.submitted, job.started, share.begun,
        share.begun + share.libraries, share.first, share.first + share.parents,
        share.first + share.parents + share.forward, share.last, job.ended, rank, end,
    )  # fmt: skip
    return {
        name: after - before
        for name, before, after in zip(PARTS, points[:-1], points[1:], strict=True)
    }


def mean_parts(generations: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean over generations."""
    return {name: sum(one[name] for one in generations) / len(generations) for name in PARTS}


def _read_share(files: RunFiles, stage: str, generation: int, job: int, jobs: int) -> Share:
    phase = files.phase(stage)
    population = Population.model_validate_json(
        phase.generation(generation).population.read_bytes()
    )
    costs = [
        json.loads(phase.candidate(recipe).cost.read_bytes())
        for recipe in shard_of(population, job, jobs)
    ]
    first, *others = sorted(costs, key=lambda cost: str(cost["started"]))
    usual = sum(cost["seconds_merge"] for cost in others) / max(len(others), 1)
    log = files.root / f"logs/{stage}/gen-{generation:03d}/evaluate-{job}.log"
    found = STARTED.search(log.read_text())
    assert found is not None, log
    libraries, tasks = (float(seconds) for seconds in found.groups())
    begun = datetime.fromisoformat(first["started"]).timestamp()
    return Share(
        begun - libraries - tasks,
        libraries,
        tasks,
        begun,
        max(datetime.fromisoformat(cost["finished"]).timestamp() for cost in costs),
        max(first["seconds_merge"] - usual, 0.0),
        sum(cost["seconds_forward"] for cost in costs),
    )


def _start_of_rank(files: RunFiles, stage: str, generation: int) -> float:
    """Snakemake writes a command's benchmark just after it, and the command's seconds in there."""
    path = files.root / f"benchmarks/{stage}/gen-{generation:03d}/rank.tsv"
    with path.open() as content:
        (row,) = csv.DictReader(content, delimiter="\t")
    return path.stat().st_mtime - float(row["s"])
