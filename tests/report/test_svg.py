"""Pieces of SVG: escaped, rounded, and with round ticks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsugiki.report.svg import Figure, Scale, element, number, padded, text, ticks


def test_text_and_attributes_are_escaped() -> None:
    """Names of models come from users."""
    assert text(1, 2, "<b> & co") == '<text x="1" y="2" class="f-label">&lt;b&gt; &amp; co</text>'
    assert element("g", id='"<') == """<g id='"&lt;'/>"""


@pytest.mark.parametrize(
    ("value", "written"),
    [(1.0, "1"), (0.5, "0.5"), (1.005, "1"), (-2.499, "-2.5"), (100.0, "100"), (12.3456, "12.35")],
)
def test_numbers_are_written_to_the_hundredth(value: float, written: str) -> None:
    """Small files, equal on every machine."""
    assert number(value) == written


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.13, 0.62, 6, [0.2, 0.3, 0.4, 0.5, 0.6]),
        (-3, 3, 6, [-3, -2, -1, 0, 1, 2, 3]),
        (1, 30, 10, [5, 10, 15, 20, 25, 30]),
        (4, 4, 6, [4]),
    ],
)
def test_ticks_are_round(low: float, high: float, most: int, expected: list[float]) -> None:
    """One, two or five times a power of ten apart."""
    assert ticks(low, high, most) == pytest.approx(expected)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 12))
def test_ticks_lie_in_their_range_and_are_few(low: float, width: float, most: int) -> None:
    """Whatever the range."""
    found = ticks(low, low + width, most)
    assert len(found) <= most + 1
    assert all(low - 1e-9 * width - 1e-9 <= tick <= low + width * (1 + 1e-9) + 1e-9
               for tick in found)  # fmt: skip


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_padded_ranges_hold_all_values_and_are_not_empty(values: list[float]) -> None:
    """Even for a single value, and for zero."""
    low, high = padded(values)
    assert low < high
    assert low <= min(values) <= max(values) <= high
    assert math.isfinite(low + high)


def test_a_scale_maps_ends_to_ends() -> None:
    """And a range of one value to the middle."""
    scale = Scale(0, 2, 100, 0)
    assert (scale(0), scale(2), scale(1)) == (100, 0, 50)
    assert Scale(3, 3, 0, 10)(3) == 5


def test_a_figure_alone_has_its_own_ground_and_words() -> None:
    """So that it can be read outside of the page, by eyes or by ears."""
    alone = Figure("f", "Title", "All <numbers>", 10, 20, "<g/>").standalone().decode()
    assert 'viewBox="0 0 10 20"' in alone
    assert '<desc id="f-description">All &lt;numbers&gt;</desc>' in alone
    assert 'class="f-ground"' in alone
    assert "prefers-color-scheme: dark" in alone
