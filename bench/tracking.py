"""Whether MLflow is told of a long run in linear time.

Writes a run without any model (plausible scores and digests), tells its own store of one generation after
another as the search does, then of all at once as `tsugiki track --rebuild` does, and prints processor seconds,
and milliseconds for a candidate: over all generations, over the first fifth of them (without the first one, which
loads MLflow and makes the store) and over the last fifth, which is 9 times the first where work grows with what is there
already. Processes are not started anew for each generation, as the workflow does.

    PYTHONPATH=. python bench/tracking.py [--generations 100] [--population 50] [--only live]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
        print(
            f"{'':8}{'candidates':>11}{'seconds':>9}{'all':>7}{'first fifth':>13}{'last fifth':>12}"
        )
        for way in [arguments.only] if arguments.only else WAYS:
            ends = _ends(WAYS[way], run.files, run.config, count)
            fifth = count // 5
            spans = ((0, count), (1, fifth), (count - fifth, count))
            each = [_milliseconds(ends, *span, arguments.population) for span in spans]
            print(
                f"{way:8}{count * arguments.population:11}{ends[-1]:9.1f}"
                f"{each[0]:7.1f}{each[1]:13.1f}{each[2]:12.1f}",
                flush=True,
            )


def _milliseconds(ends: Sequence[float], first: int, end: int, population: int) -> float:
    """For a candidate of the generations from `first` to before `end`."""
    begin = ends[first - 1] if first else 0.0
    return 1000 * (ends[end - 1] - begin) / ((end - first) * population)


def _ends(
    way: Callable[[RunFiles, RunConfig, int], None], files: RunFiles, config: RunConfig, count: int
) -> list[float]:
    """Processor seconds until each generation is marked as told."""
    start, ends = time.process_time(), []

    def mark(generation: GenerationFiles, state: bool | str) -> None:
        marks.mark(generation, state)
        if state is True:
            ends.append(time.process_time() - start)

    with patch.object(projection, "mark", mark):
        way(files, config, count)
    return ends


def _live(files: RunFiles, config: RunConfig, count: int) -> None:
    for number in range(count):
        track_generation(files, "ps", number, config, log=sys.exit)


def _rebuild(files: RunFiles, config: RunConfig, _: int) -> None:
    rebuild(files, config)


WAYS = {"live": _live, "rebuild": _rebuild}


if __name__ == "__main__":
    main()
