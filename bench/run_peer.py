"""Run a peer's search in its own environment, and read what it took."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpu_seconds import cpu_seconds
from forward_clock import RECORDS, read_samples
from runs import REPOSITORY


@dataclass(frozen=True)
class Measured:
    """One search; times in seconds."""

    name: str
    jobs: int
    """Processes that score candidates at the same time."""
    candidates: int
    wall: float
    start: float
    """Part of `wall` before the first candidate."""
    forward: float
    """In forward passes, summed over candidates."""
    cpu: float
    """CPU time of all processes."""
    best: float
    """Score of the best candidate: shows that the search did score merges."""

    @property
    def ratio(self) -> float:
        """Wall time over that of the forward passes alone on the same number of processes."""
        return self.wall / (self.forward / self.jobs)

    @property
    def outside(self) -> float:
        """Seconds of a process per candidate, outside of forward passes, the start included."""
        return (self.wall * self.jobs - self.forward) / self.candidates

    @property
    def outside_after_start(self) -> float:
        """The same without the start, which is paid once."""
        return ((self.wall - self.start) * self.jobs - self.forward) / self.candidates


class PeerError(Exception):
    """The peer's search did not end well."""


def run_peer(name: str, python: Path, script: str, inputs: Mapping[str, Any]) -> Measured:
    """Run a script of this folder with a peer's interpreter.

    Args:
        name: Of the row in the table.
        python: Interpreter of the peer's environment.
        script: File in this folder; takes the path of the inputs.
        inputs: What the script reads, as JSON; `work` is the folder that it may write to.

    Raises:
        PeerError: the script failed, or scored fewer candidates than it was to.
    """
    work = Path(inputs["work"])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    path, records, log = work / "inputs.json", work / "records.jsonl", work / "log.txt"
    path.write_text(json.dumps(inputs), encoding="utf-8")
    here = Path(__file__).parent
    environment = {
        **os.environ,
        RECORDS: str(records),
        # The task scores answers with tsugiki's own function, here as there.
        "PYTHONPATH": f"{here}:{REPOSITORY / 'workflow'}",
        "HF_HOME": str(work / "hub"),
        **dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"), "1"),
        # Ray's workers give way to every other process unless told not to.
        "RAY_worker_niceness": "0",
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }

    def search() -> tuple[float, int]:
        started = time.perf_counter()
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [python, here / script, path],
                cwd=work,
                env=environment,
                stdout=output,
                stderr=output,
            ) as process,
        ):
            code = process.wait()
        if code:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            raise PeerError(f"{' / '.join(last)} (see {log})")
        return time.perf_counter() - started, process.pid

    began = time.time()
    (wall, process), cpu = cpu_seconds(search)
    candidates = read_samples(records)
    asked = inputs["generations"] * inputs["population"]
    if len(candidates) < asked:
        raise PeerError(f"it scored {len(candidates)} candidates instead of {asked} (see {log})")
    # Ray never waits for its workers, so that their time does not reach this process.
    cpu += sum({c.process: c.cpu for c in candidates if c.process != process}.values())
    return Measured(
        name=name,
        jobs=1,
        candidates=len(candidates),
        wall=wall,
        start=candidates[0].began - began,
        forward=sum(candidate.forward for candidate in candidates),
        cpu=cpu,
        best=max(candidate.score for candidate in candidates),
    )
