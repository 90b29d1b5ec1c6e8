"""Weighted sums of models."""

from __future__ import annotations

import numpy as np

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import BLOCK, Bits, Floats, ahead, at, store


@compiled
def _add_scaled(source: Bits, factor: np.float32, total: Floats, first: bool) -> None:
    """Add the model itself."""
    for j in range(source.size):
        value = at(source, j) * factor
        total[j] = value if first else total[j] + value


@compiled
def weighted_sum(parents: tuple[Bits, ...], weights: Floats, out: Bits) -> bool:
    """Write sum of weight * parent to `out`; return whether every element is finite."""
    total = np.empty(BLOCK, np.float32)
    bad = np.uint32(0)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        for index in range(len(parents)):
            _add_scaled(ahead(parents[index], start, stop), weights[index], total, index == 0)
        bad = np.uint32(bad | store(total, out[start:stop]))
    return bool(bad == 0)
