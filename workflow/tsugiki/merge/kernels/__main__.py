"""Compile all loops, for all formats, into the folder that processes read machine code from."""

from __future__ import annotations

import time
from itertools import product

import numpy as np

from tsugiki import atomic
from tsugiki.locked import locked
from tsugiki.merge.kernels import compiling


def main() -> None:
    """Fill the folder, unless it is there already: it appears as a whole."""
    folder = compiling.store()
    if folder is None:
        return  # no home: each process compiles what it calls
    with locked(folder.with_suffix(".lock")):
        if folder.is_dir():
            return
        started = time.monotonic()
        with atomic.folder(folder) as filling:
            compiling.machine_code = filling
            call_all()
        print(f"loops compiled in {time.monotonic() - started:.0f} s: {folder}")  # noqa: T201 - for `make setup`


def call_all() -> None:
    """Call each loop that is called from Python with each combination of formats that it is given."""
    from tsugiki.merge.kernels import selecting, sums, task_vectors, variance
    from tsugiki.merge.kernels.elements import BLOCK, ONE, Bits, addresses

    elements: tuple[Bits, Bits] = (np.zeros(1, np.uint16), np.zeros(1, np.uint32))
    numbers, keys = np.zeros(1, np.float32), np.zeros(1, np.uint64)
    rules, chances = np.zeros(1, np.int64), np.zeros((1, 1), np.float32)
    found = np.zeros(1 + BLOCK, np.uint32)
    for one in elements:
        models = addresses([one])
        sums.all_finite(one)
        sums.inner_products(one, models, False, np.zeros((1, 1)))
        selecting.magnitudes(one, models, found[:1])
        selecting.magnitudes_between(one, models, 0, 1, found)
        selecting.ranking_keys(one, one, 1, keys)
        variance.variances(one, models, found[:1])
        variance.variances_between(one, models, 0, 1, found)
        variance.squares(one, models, ONE, np.zeros(1))
    selecting.by_rank(keys, 1, numbers, numbers)
    for one, out in product(elements, elements):
        models = addresses([one])
        sums.weighted_sum(one, models, numbers, out)
        variance.erase_minority(one, models, ONE, numbers, out)
        factors = bounds = (numbers, numbers)
        task_vectors.add_task_vectors(
            one, models, *factors, rules, *bounds, keys, chances, False, False, ONE, ONE, 0, out
        )


if __name__ == "__main__":
    main()
