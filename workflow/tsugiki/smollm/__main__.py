"""Makes the parents of config/smollm.yaml: `python -m tsugiki.smollm FOLDER SEED`."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # everything is on this machine; before any library reads it

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tsugiki.errors import TsugikiError
from tsugiki.smollm.parents import make, make_base
from tsugiki.smollm.questions import SKILLS


def main(home: Path, seed: int) -> None:
    """Make the base, then both parents at a time."""
    make_base(home)
    with ProcessPoolExecutor(len(SKILLS), mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(make, home, seed), SKILLS))


if __name__ == "__main__":
    place, number = sys.argv[1:]
    try:
        main(Path(place), int(number))
    except TsugikiError as error:
        sys.exit(str(error))
