"""When each job of a SLURM was submitted, started and ended: what `scontrol` knows to the second only."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

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
