"""Seconds in a llama's forward passes, and a line for each candidate; runs in the peers' processes.

The peers do not time their forward passes. Here the class is wrapped, so that whatever they load is
timed, without a change of theirs.
"""

from __future__ import annotations

import functools
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import LlamaForCausalLM

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


class ForwardClock:
    """Times forward passes; only one may exist in a process."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0
        original = LlamaForCausalLM.forward

        @functools.wraps(original)
        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return original(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - started

        LlamaForCausalLM.forward = timed

    def begin(self) -> None:
        """A candidate's work begins."""
        self.seconds, self._began = 0.0, time.time()

    def end(self, score: float) -> None:
        """A candidate has its score; its line is appended to the file of records."""
        record = Record(self._began, self.seconds, score, os.getpid(), time.process_time())
        with Path(os.environ[RECORDS]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")


def read_samples(path: Path) -> list[Record]:
    """All candidates in the order in which they were scored."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [Record(**json.loads(line)) for line in lines]
