"""The changes of parents against their base, and their sum."""

from __future__ import annotations

import numpy as np

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import ONE, Bits, Floats, ahead, at, load, not_finite


@compiled
def add(value: np.float32, vector: Floats, total: Floats, j: int, first: bool) -> None:
    """Write element `j` of a vector, and begin or continue the sum there."""
    vector[j] = value
    total[j] = value if first else total[j] + value


@compiled
def add_all(
    source: Bits, origin: Floats, factor: np.float32, vector: Floats, total: Floats, first: bool
) -> np.uint32:
    """Write factor * (source - origin) to `vector`, and begin or continue the sum of these."""
    bad = np.uint32(0)
    for j in range(source.size):
        change = at(source, j) - origin[j]
        bad = np.uint32(bad | not_finite(change))
        add(change * factor, vector, total, j, first)
    return bad


@compiled
def changes(
    base: Bits,
    parents: tuple[Bits, ...],
    start: int,
    stop: int,
    origin: Floats,
    vectors: Floats,
    total: Floats,
) -> np.uint32:
    """Write the base, each parent's change and the sum of the changes."""
    load(ahead(base, start, stop), origin)
    bad = np.uint32(0)
    for index in range(len(parents)):
        source = ahead(parents[index], start, stop)
        more = add_all(source, origin, ONE, vectors[index], total, index == 0)
        bad = np.uint32(bad | more)
    return bad
