"""Collecting values that lie in a range."""

from __future__ import annotations

import numpy as np
import pytest

from tsugiki.merge.kernels.selecting import between

RANGES = [(0, 0), (0, (1 << 31) - 1), (200, 200), (100, 700), (999, 2000)]


@pytest.mark.parametrize(("low", "high"), RANGES)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 83])
def test_values_of_a_range_are_collected_in_their_order(low: int, high: int, size: int) -> None:
    """Both ends belong to it; what is larger is counted; what was there before stays."""
    values = np.random.default_rng(size).integers(0, 1000, size, dtype=np.uint32)
    out = np.full(size + 8, 5, np.uint32)
    end, larger = between(values, low, high, out, np.int64(7))
    expected = values[(values >= low) & (values <= high)]
    assert out[7:end].tolist() == expected.tolist()
    assert out[:7].tolist() == [5] * 7
    assert larger == (values > high).sum()
