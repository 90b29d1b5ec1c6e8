"""Task arithmetic on singular components, against torch's decomposition in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.merge.tensors_for_tests import merge

NAME = "svd_task_arithmetic"


def scaled(change: Tensor, count: int, weight: float, rest: float) -> Tensor:
    """The change with its `count` largest singular values times one factor, the rest times another."""
    u, s, vh = torch.linalg.svd(change.double(), full_matrices=False)
    factors = torch.full_like(s, rest)
    factors[..., :count] = weight
    return (u @ torch.diag_embed(factors * s) @ vh).float()


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (4, 20, 30), (2, 3, 20, 20)])
def test_the_leading_components_have_one_factor_and_the_rest_another(
    shape: tuple[int, ...],
) -> None:
    """Six of twenty lead, in each matrix; the parents add up."""
    torch.manual_seed(0)
    base, *parents = torch.randn(3, *shape)
    weight, rest = (1.3, -0.4), (0.2, 0.7)
    expected = base.clone()
    for parent, one, other in zip(parents, weight, rest, strict=True):
        expected += scaled(parent - base, 6, one, other)
    merged = merge(NAME, parents, base, weight=weight, rest=rest, share=0.3)
    assert torch.allclose(merged, expected, rtol=1e-4, atol=1e-4)
    assert merged.dtype == torch.float32


def test_singular_values_by_hand() -> None:
    """Of a diagonal 3, 2, 1 the 3 leads: doubled, it is 6, and the others are a half."""
    base, change = torch.ones(3, 3), torch.diag(torch.tensor([2.0, 3.0, 1.0]))
    merged = merge(NAME, [base + change], base, weight=2.0, rest=0.5, share=0.0)
    assert torch.allclose(merged - base, torch.diag(torch.tensor([1.0, 6.0, 0.5])), atol=1e-5)


def test_equal_factors_are_task_arithmetic() -> None:
    """Within rounding: here factors are added one after another."""
    torch.manual_seed(0)
    base, one, other = torch.randn(3, 12, 7)
    factors = {"weight": (0.7, 0.4), "rest": (0.7, 0.4)}
    found = merge(NAME, [one, other], base, **factors)
    plain = merge("task_arithmetic", [one, other], base, weight=(0.7, 0.4))
    assert torch.allclose(found, plain, rtol=1e-6, atol=1e-6)


def test_a_vector_has_the_leading_factor() -> None:
    """It has one singular component."""
    base, parent = torch.randn(2, 9)
    merged = merge(NAME, [parent], base, weight=0.5, rest=3.0)
    assert torch.allclose(merged, base + 0.5 * (parent - base), atol=1e-6)


def test_a_parent_that_is_the_base_adds_nothing() -> None:
    """A matrix of zeros has a decomposition, too."""
    base = torch.randn(8, 5)
    assert torch.equal(merge(NAME, [base], base, weight=2.0, rest=0.1), base)


def test_whole_tensors_by_share_one() -> None:
    """All components lead."""
    torch.manual_seed(0)
    base, parent = torch.randn(2, 10, 6)
    merged = merge(NAME, [parent], base, weight=0.5, rest=3.0, share=1.0)
    assert torch.allclose(merged, base + 0.5 * (parent - base), atol=1e-5)
