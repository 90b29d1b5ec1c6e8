"""Seconds in a llama's forward passes, and a line for each candidate; runs in the peers' processes.

The peers do not time their forward passes. Here the class is wrapped, so that whatever they load is
timed, without a change of theirs.
"""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import Any

from transformers import LlamaForCausalLM

from forward_records import RECORDS, Record, append_record


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
        append_record(Path(os.environ[RECORDS]), record)
