"""DARE's random masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tsugiki.merge.masks import PIECE, cut, mask_key, uniforms

PUBLISHED = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)
"""The first outputs of SplitMix64 from seed 1234567, as commonly published to check programs."""


def test_numbers_are_the_upper_24_bits_of_splitmix64() -> None:
    """The published outputs of the generator give the uniform numbers."""
    expected = [float((output >> 40) / 2**24) for output in PUBLISHED]
    assert uniforms(1234567, 5).tolist() == expected


def test_an_element_does_not_depend_on_how_many_are_drawn() -> None:
    """A longer tensor begins with the numbers of a shorter one, across pieces."""
    longer = uniforms(99, 2 * PIECE + 17)
    assert torch.equal(longer[: PIECE + 3], uniforms(99, PIECE + 3))


def test_numbers_are_uniform() -> None:
    """A million numbers fill 64 bins evenly (chi-squared below its 99.9999 % point)."""
    counts = np.histogram(uniforms(7, 1 << 20).numpy(), bins=64, range=(0, 1))[0]
    expected = (1 << 20) / 64
    assert float(((counts - expected) ** 2 / expected).sum()) < 131.0
    assert uniforms(7, 1 << 20).max() < 1.0


def test_keys_differ_by_seed_tensor_and_parent() -> None:
    """Changing any part gives an unrelated mask."""
    keys = {
        mask_key(1, "t", "a"),
        mask_key(2, "t", "a"),
        mask_key(1, "u", "a"),
        mask_key(1, "t", "b"),
    }
    assert len(keys) == 4
    first, second = uniforms(mask_key(1, "t", "a"), 10_000), uniforms(mask_key(1, "t", "b"), 10_000)
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.05


@given(st.floats(0.0, 1.0))
def test_cutting_in_float32_is_cutting_in_real_numbers(density: float) -> None:
    """For multiples of 2**-24 the float32 comparison is the exact one."""
    numbers = uniforms(5, 512)
    exact = [number < density for number in numbers.tolist()]
    assert (numbers < cut(density)).tolist() == exact


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_masks_are_nested_across_densities(one: float, other: float) -> None:
    """What the smaller density keeps, the larger keeps too."""
    numbers = uniforms(11, 512)
    small, large = numbers < cut(min(one, other)), numbers < cut(max(one, other))
    assert not bool((small & ~large).any())


@pytest.mark.parametrize(("density", "kept"), [(0.0, 0), (1.0, 512)])
def test_limits(density: float, kept: int) -> None:
    """Density 0 keeps nothing, density 1 everything."""
    assert int((uniforms(3, 512) < cut(density)).sum()) == kept
