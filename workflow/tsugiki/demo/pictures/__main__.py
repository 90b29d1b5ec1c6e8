"""Makes the parents of config/vlm.yaml: `python -m tsugiki.demo.pictures FOLDER SEED`."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # everything is on this machine; before any library reads it

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tsugiki.demo.pictures.parents import make


def main(home: Path, seed: int) -> None:
    """Make the base, then both that are trained from it at a time."""
    make(home, seed, "base")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(make, home, seed), ("japanese", "vision")))


if __name__ == "__main__":
    place, number = sys.argv[1:]
    main(Path(place), int(number))
