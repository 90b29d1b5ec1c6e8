"""Collecting values that lie in a range, with and without vector instructions."""

from __future__ import annotations

import numpy as np
import pytest

from tsugiki.merge.kernels.selecting import LANES, between, pack_all, pack_lanes

RANGES = [(0, 0), (0, (1 << 31) - 1), (200, 200), (100, 700), (999, 2000)]


@pytest.mark.parametrize(("low", "high"), RANGES)
@pytest.mark.parametrize("size", [0, 1, LANES - 1, LANES, 5 * LANES + 3])
def test_values_of_a_range_are_collected_in_their_order(low: int, high: int, size: int) -> None:
    """Both ends belong to it; what is larger is counted; what was there before stays."""
    values = np.random.default_rng(size).integers(0, 1000, size, dtype=np.uint32)
    out = np.full(size + 7 + LANES, 5, np.uint32)
    end, larger = between(values, low, high, out, np.int64(7))
    expected = values[(values >= low) & (values <= high)]
    assert out[7:end].tolist() == expected.tolist()
    assert out[:7].tolist() == [5] * 7
    assert larger == (values > high).sum()


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_processors_without_the_instruction_collect_the_same(low: int, high: int) -> None:
    """The loop with vectors runs everywhere, but is used only where it is fast."""
    values = np.random.default_rng(0).integers(0, 1000, 64 * LANES, dtype=np.uint32)
    found = []
    for pack in (pack_all, pack_lanes):
        out = np.zeros(values.size + LANES, np.uint32)
        end = pack(values, np.uint32(low), np.uint32(high - low), out, np.uint64(0))
        found.append(out[: int(end)].tolist())
    assert found[0] == found[1]
