"""Whether MLflow is told of a long run in linear time.

Writes a run without any model (plausible scores and digests), tells its own store of one generation after
another as the search does, then of all at once as `tsugiki track --rebuild` does, and prints processor seconds,
the same for a candidate, and those of the second half of the generations over those of the first: 1 is
linear, and 3 is quadratic. Processes are not started anew for each generation, as the workflow does.

    PYTHONPATH=. python bench/tracking.py [--generations 100] [--population 50] [--only live]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from tests.synthetic_runs import make_run

from tsugiki.config.run import RunConfig
from tsugiki.contracts.layout import GenerationFiles, RunFiles
from tsugiki.tracking import marks, projection
from tsugiki.tracking.projection import rebuild, track_generation

DOCUMENTS = 4
"""Of each task: how many there are is no part of what is measured."""


def main() -> None:
    """Write, track, and print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=100)
    parser.add_argument("--population", type=int, default=50)
    parser.add_argument("--only", choices=WAYS)
    arguments = parser.parse_args()
    count = arguments.generations
    with tempfile.TemporaryDirectory() as name:
        run = make_run(
            Path(name), generations=count, population=arguments.population, items=DOCUMENTS
        )
        run.write_stage()
        print(f"{'':8}{'candidates':>11}{'seconds':>9}{'a candidate':>13}{'second half':>13}")
        for way in [arguments.only] if arguments.only else WAYS:
            total, first = _seconds(WAYS[way], run.files, run.config, count)
            number = count * arguments.population
            print(
                f"{way:8}{number:11}{total:9.1f}{total / number:13.4f}{(total - first) / first:13.2f}",
                flush=True,
            )


def _seconds(
    way: Callable[[RunFiles, RunConfig, int], None], files: RunFiles, config: RunConfig, count: int
) -> tuple[float, float]:
    """Until the end, and until half of the generations are marked as told."""
    start, ends = time.process_time(), []

    def mark(generation: GenerationFiles, state: bool | str) -> None:
        marks.mark(generation, state)
        if state is True:
            ends.append(time.process_time() - start)

    with patch.object(projection, "mark", mark):
        way(files, config, count)
    return ends[-1], ends[count // 2 - 1]


def _live(files: RunFiles, config: RunConfig, count: int) -> None:
    for number in range(count):
        track_generation(files, "ps", number, config, log=sys.exit)


def _rebuild(files: RunFiles, config: RunConfig, _: int) -> None:
    rebuild(files, config)


WAYS = {"live": _live, "rebuild": _rebuild}


if __name__ == "__main__":
    main()
