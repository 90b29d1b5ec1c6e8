"""The file in which a peer's process leaves a line for each candidate."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

RECORDS = "PEER_RECORDS"
"""Environment variable that names the file."""


@dataclass(frozen=True)
class Record:
    """One candidate."""

    began: float
    """Time of day, in seconds."""
    forward: float
    """Seconds in forward passes."""
    score: float
    process: int
    """Id of the process that scored it."""
    cpu: float
    """CPU-seconds of that process until now."""


def append_record(path: Path, record: Record) -> None:
    """Add a candidate."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(record)) + "\n")


def read_samples(path: Path) -> list[Record]:
    """All candidates in the order in which they were scored."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [Record(**json.loads(line)) for line in lines]
