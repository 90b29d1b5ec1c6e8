"""Whether a tensor holds numbers only."""

from __future__ import annotations

import numpy as np

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import Bits, at, not_finite


@compiled
def all_finite(bits: Bits) -> bool:
    """Whether no element is NaN or infinite."""
    bad = np.uint32(0)
    for j in range(bits.size):
        bad = np.uint32(bad | not_finite(at(bits, j)))
    return bool(bad == 0)
