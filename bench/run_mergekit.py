"""Run mergekit on several configurations in one process; runs in mergekit's own environment.

Usage: run_mergekit.py THREADS CONFIG.yaml=OUT [CONFIG.yaml=OUT ...]; prints JSON: seconds of each, on
the clock and on the processor.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions


def main(threads: str, *pairs: str) -> None:
    """Merge each configuration into its folder."""
    torch.set_num_threads(int(threads))
    seconds = {}
    for pair in pairs:
        config, out = pair.split("=", 1)
        parsed = MergeConfiguration.model_validate(yaml.safe_load(Path(config).read_text()))
        start, processor = time.perf_counter(), time.process_time()
        run_merge(parsed, out, MergeOptions(copy_tokenizer=False, num_threads=int(threads)))
        seconds[out] = (time.perf_counter() - start, time.process_time() - processor)
    print("SECONDS " + json.dumps(seconds))


main(*sys.argv[1:])
