"""Breadcrumbs, DELLA, model stock, SCE and the spherical methods, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.merge.tensors_for_tests import inputs_for, merge, whole
from tsugiki.errors import RecipeError
from tsugiki.merge import blockwise
from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.methods.della import keep_probabilities
from tsugiki.merge.methods.karcher import karcher_mean
from tsugiki.merge.methods.model_stock import ratio
from tsugiki.merge.registry import METHODS

X = torch.tensor([1.0, 0.0, 0.0])
Y = torch.tensor([0.0, 1.0, 0.0])
Z = torch.tensor([0.0, 0.0, 1.0])
HALF = math.sqrt(0.5)


def close(merged: Tensor, expected: Any, tolerance: float = 1e-6) -> bool:
    """Equal within float32's rounding."""
    return torch.allclose(merged, torch.as_tensor(expected), rtol=tolerance, atol=tolerance)


def test_breadcrumbs_drops_both_ends() -> None:
    """Of ten, the largest is dropped and the next five are kept."""
    changes = torch.arange(1.0, 11.0)
    merged = merge("breadcrumbs", [changes], torch.zeros(10), density=0.5, gamma=0.1)
    assert merged.tolist() == [0, 0, 0, 0, 5, 6, 7, 8, 9, 0]


def test_breadcrumbs_drops_less_at_the_top_to_keep_its_density() -> None:
    """Density comes first, as 0.9 kept and 0.3 dropped do not fit together."""
    changes = torch.arange(1.0, 11.0)
    merged = merge("breadcrumbs", [changes], torch.zeros(10), density=0.9, gamma=0.3)
    assert merged.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    merged = merge("breadcrumbs", [changes], torch.zeros(10), density=1.0, gamma=0.3)
    assert torch.equal(merged, changes)


@pytest.mark.parametrize("gamma", [0.0, 0.01])
def test_breadcrumbs_on_a_small_tensor_keeps_its_density(gamma: float) -> None:
    """64 elements, of which 1 % is less than one."""
    torch.manual_seed(0)
    merged = merge("breadcrumbs", [torch.randn(64)], torch.zeros(64), density=0.5, gamma=gamma)
    assert merged.count_nonzero() == 32


def test_breadcrumbs_without_gamma_is_trimming() -> None:
    """With TIES, and gamma 0, it is TIES."""
    torch.manual_seed(0)
    rows = list(torch.randn(3, 40))
    values = {"density": 0.4, "weight": (0.5, 0.9), "normalize": False}
    crumbs = merge("breadcrumbs_ties", rows[:2], rows[2], gamma=0.0, **values)
    assert torch.equal(crumbs, merge("ties", rows[:2], rows[2], **values))


def test_della_keeps_larger_changes_more_often() -> None:
    """Probabilities are evenly spaced by rank, about the density."""
    vector = torch.tensor([[0.1, -0.5, 0.3], [2.0, 0.0, -1.0]])
    expected = [[0.4, 0.6, 0.5], [0.6, 0.4, 0.5]]
    assert close(keep_probabilities(vector, 0.5, 0.1), expected)


def test_della_leaves_the_density_unchanged_at_its_limits() -> None:
    """The spread shrinks where it would leave [0, 1]."""
    vector = torch.randn(100)
    for density in (0.0, 0.05, 0.5, 0.97, 1.0):
        probabilities = keep_probabilities(vector, density, 0.15)
        assert probabilities.mean().item() == pytest.approx(density, abs=1e-6)
        assert 0.0 <= probabilities.min() <= probabilities.max() <= 1.0


@pytest.mark.parametrize("shape", [(4, 1), (1,), ()])
def test_della_on_rows_of_one_element(shape: tuple[int, ...]) -> None:
    """There is no rank: the density itself is the probability."""
    merged = merge("della_linear", [torch.ones(shape)], torch.zeros(shape), density=0.5)
    assert merged.shape == shape
    assert set(merged.flatten().tolist()) <= {0.0, 2.0}


@pytest.mark.parametrize("name", ["della", "della_linear"])
def test_della_limits(name: str) -> None:
    """Density 0 is the base, density 1 plain task arithmetic (with signs for `della`)."""
    torch.manual_seed(0)
    base, parent = torch.randn(2, 8, 5)
    values = {"normalize": False, "weight": 0.7}
    assert torch.equal(merge(name, [parent], base, density=0.0, **values), base)
    plain = merge("task_arithmetic", [parent], base, **values)
    assert torch.equal(merge(name, [parent], base, density=1.0, **values), plain)


def test_della_keeps_the_expected_change() -> None:
    """Dividing by each element's own probability leaves the mean change as it was."""
    torch.manual_seed(0)
    parent = torch.rand(200, 1000)
    merged = merge("della_linear", [parent], torch.zeros_like(parent), density=0.3)
    assert merged.mean().item() == pytest.approx(parent.mean().item(), rel=0.01)


def test_model_stock_at_known_angles() -> None:
    """Two task vectors at 60 degrees: ratio 2 * 0.5 / 1.5; equal ones: the average itself."""
    a, b = X, torch.tensor([0.5, math.sqrt(0.75), 0.0])
    assert close(merge("model_stock", [a, b], torch.zeros(3)), (a + b) / 2 * (2 / 3))
    assert close(merge("model_stock", [a, a, a], torch.zeros(3)), a)


def test_model_stock_of_unrelated_parents_is_the_base() -> None:
    """At right angles and beyond, nothing of the average is trusted."""
    base = torch.tensor([0.5, 0.5, 0.5])
    assert close(merge("model_stock", [base + X, base + Y], base), base)
    assert close(merge("model_stock", [base + X, base - X], base), base)
    assert float(ratio(torch.tensor(-1.0), 2)) == 0.0


def test_model_stock_by_rows_measures_each_row() -> None:
    """One row agrees, the other does not."""
    one, other = torch.stack([X, X]), torch.stack([X, Y])
    merged = merge("model_stock", [one, other], torch.zeros(2, 3), filter_wise=True)
    assert close(merged, [[1.0, 0, 0], [0, 0, 0]])


def test_sce_worked_by_hand() -> None:
    """Shares 0.8 and 0.2 by squares; each element averages what agrees in sign."""
    a, b = torch.tensor([2.0, 0.0, -4.0, 0.0]), torch.tensor([1.0, 1.0, 1.0, -math.sqrt(2)])
    assert close(merge("sce", [a, b], torch.zeros(4)), [1.8, 1.0, -4.0, -math.sqrt(2)])


def test_sce_selects_what_varies_most() -> None:
    """Half of the four elements: variances 0.25, 0.25, 6.25 and 1."""
    a, b = torch.tensor([2.0, 0.0, -4.0, 0.0]), torch.tensor([1.0, 1.1, 1.0, -2.0])
    merged = merge("sce", [a, b], torch.zeros(4), select_topk=0.5)
    assert close(merged, [0.0, 0.0, -4.0, -2.0])
    assert not merge("sce", [a, b], torch.zeros(4), select_topk=0.0).any()


def test_sce_of_unchanged_parents_is_the_base() -> None:
    """No variance and no squares."""
    for share in (0.5, 1.0):
        assert torch.equal(merge("sce", [X, X], X, select_topk=share), X)


def test_slerp_divides_the_arc() -> None:
    """A third of a right angle is 30 degrees; lengths are interpolated along."""
    assert close(merge("slerp", [Y], X, t=1 / 3), [math.sqrt(0.75), 0.5, 0.0])
    assert close(merge("slerp", [3 * Y], X, t=0.5), [HALF, 3 * HALF, 0.0])


@pytest.mark.parametrize(("t", "expected"), [(0.0, X), (1.0, Y)])
def test_slerp_ends_at_its_ends(t: float, expected: Tensor) -> None:
    """0 is the base, 1 the parent."""
    assert close(merge("slerp", [Y], X, t=t), expected, 1e-7)


def test_slerp_of_parallel_opposite_and_zero_vectors_is_a_line() -> None:
    """There is no single great circle."""
    assert close(merge("slerp", [3 * X], X, t=0.5), 2 * X)
    assert close(merge("slerp", [-X], X, t=0.25), 0.5 * X)
    assert close(merge("slerp", [torch.zeros(3)], X, t=0.25), 0.75 * X)


@pytest.mark.parametrize("size", [1, 1000, 1024, 5000])
def test_slerp_of_many_elements(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against numpy in float64; in every number format, as a whole and in pieces."""
    monkeypatch.setattr(blockwise, "PIECE", 1024)
    generator = torch.Generator().manual_seed(size)
    start, end = (torch.randn(size, generator=generator) + 0.3 for _ in range(2))
    inputs = inputs_for(METHODS["slerp"], [end.bfloat16()], start, t=0.3)
    made = METHODS["slerp"].merge(inputs)
    assert isinstance(made, BlockwiseMerge)
    exact, _ = made.whole(torch.float32)
    x, y = start.double().numpy(), end.bfloat16().double().numpy()
    angle = np.arccos(np.clip(x @ y / np.linalg.norm(x) / np.linalg.norm(y), -1, 1))
    if size > 1:
        expected = (np.sin(0.7 * angle) * x + np.sin(0.3 * angle) * y) / np.sin(angle)
        assert close(exact, expected.astype(np.float32))
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        pieces = [piece.clone() for piece, _ in made.pieces(dtype)]
        assert torch.equal(made.whole(dtype)[0], exact.to(dtype))
        assert torch.equal(torch.cat(pieces), exact.to(dtype))


def test_nuslerp_divides_by_weights() -> None:
    """Weights 2 and 1 are a third of the way; with a base, of the task vectors."""
    expected = torch.tensor([math.sqrt(0.75), 0.5, 0.0])
    assert close(merge("nuslerp", [X, Y], weight=(2, 1)), expected)
    assert close(merge("nuslerp", [X + Z, Y + Z], Z, weight=(2, 1)), expected + Z)


def test_nuslerp_by_rows_and_columns() -> None:
    """Each row, or each column, is a vector of its own."""
    one, other = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [3.0, 0.0]])
    rows = merge("nuslerp", [one, other], vectors="rows")
    assert close(rows, [[HALF, HALF], [2.0, 0.0]])
    columns = merge("nuslerp", [one.T.contiguous(), other.T.contiguous()], vectors="columns")
    assert close(columns, rows.T)


def test_multislerp_of_two_at_equal_weights_is_slerp() -> None:
    """The tangent plane touches the arc's middle, so that the middle is exact."""
    assert close(merge("multislerp", [X, Y]), [HALF, HALF, 0.0])
    assert close(merge("multislerp", [X + Z, Y + Z], Z), torch.tensor([HALF, HALF, 1.0]))


def test_multislerp_of_three_axes_is_their_diagonal() -> None:
    """By symmetry; the lengths 1, 2 and 3 average to 2."""
    third = 1 / math.sqrt(3)
    assert close(merge("multislerp", [X, 2 * Y, 3 * Z]), [2 * third] * 3)


def test_multislerp_of_directions_that_cancel() -> None:
    """Two fall back to the line; three have no answer."""
    assert close(merge("multislerp", [X, -3 * X], weight=(1, 1)), -X)
    star = [
        torch.tensor([math.cos(a), math.sin(a)]) for a in (0, 2 * math.pi / 3, -2 * math.pi / 3)
    ]
    with pytest.raises(RecipeError, match="cancel"):
        merge("multislerp", star)
    assert not merge("multislerp", [torch.zeros(3)] * 3).any()


def test_karcher_of_two_is_slerp_at_any_weights() -> None:
    """The weighted mean of two points divides the arc between them."""
    expected = merge("slerp", [Y], X, t=0.3)
    merged = merge("karcher", [X, Y], weight=(0.7, 0.3), iterations=100)
    assert close(merged, expected, 1e-4)


def test_karcher_of_three_axes_is_their_diagonal() -> None:
    """By symmetry; the lengths 1, 2 and 3 average to 2."""
    assert close(merge("karcher", [X, 2 * Y, 3 * Z]), [2 / math.sqrt(3)] * 3)


def test_karcher_is_where_the_pull_of_all_points_vanishes() -> None:
    """The defining property of the mean: logarithms sum to zero."""
    torch.manual_seed(0)
    points = [vector / vector.norm() for vector in torch.randn(4, 30)]
    rows = torch.stack(points).double().numpy()
    mean = karcher_mean(rows @ rows.T, np.full(4, 0.25), 1e-7, 200) @ rows
    assert np.linalg.norm(mean) == pytest.approx(1.0, abs=1e-6)
    pull = np.zeros(30)
    for point in rows:
        across = point - mean * (mean @ point)
        pull += across / np.linalg.norm(across) * np.arccos(mean @ point)
    assert np.linalg.norm(pull) < 1e-5


def test_karcher_of_vectors_without_direction() -> None:
    """Zero tensors take no part, or give zero."""
    assert not merge("karcher", [torch.zeros(3)] * 2).any()
    assert close(merge("karcher", [torch.zeros(3), X]), 0.5 * X)


def test_passthrough_scales() -> None:
    """The parent's tensor times the scale."""
    assert torch.equal(merge("passthrough", [X], scale=-0.5), -0.5 * X)


@pytest.mark.parametrize("name", ["nuslerp", "multislerp", "karcher"])
def test_weights_that_cancel_are_no_valid_recipe(name: str) -> None:
    """They are divided by their sum."""
    weight = (0.0, 0.0) if name == "karcher" else (0.5, -0.5)
    with pytest.raises(RecipeError, match="sum to zero"):
        merge(name, [X, Y], weight=weight)


ORDERLESS = [
    name for name, method in METHODS.items() if method.max_parents is None or method.max_parents > 1
]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    weights=st.lists(st.floats(0.1, 2), min_size=2, max_size=2),
    name=st.sampled_from(
        [name for name in ORDERLESS if "dare" not in name and "della" not in name]
    ),
)
def test_the_order_of_parents_matters_only_by_rounding(
    seed: int, weights: list[float], name: str
) -> None:
    """Swapping parents together with their values (the random methods key masks by parent)."""
    method = METHODS[name]
    torch.manual_seed(seed)
    base, one, other = torch.randn(3, 6, 7)
    with_weights = method.parameter("weight") is not None
    forth = merge(name, [one, other], base, **({"weight": weights} if with_weights else {}))
    back = merge(name, [other, one], base, **({"weight": weights[::-1]} if with_weights else {}))
    assert torch.allclose(forth, back, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list(METHODS))
def test_a_common_factor_goes_through_every_method(name: str) -> None:
    """Merging models scaled by two gives the merge scaled by two."""
    method = METHODS[name]
    torch.manual_seed(3)
    base, *parents = torch.randn(3, 6, 7)
    parents = parents[: method.max_parents or 2]
    once = whole(method, inputs_for(method, parents, base))
    twice = whole(method, inputs_for(method, [2 * parent for parent in parents], 2 * base))
    assert torch.allclose(twice, 2 * once, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", list(METHODS))
def test_equal_parents_give_themselves(name: str) -> None:
    """At full density, with weights that sum to one, whatever the method."""
    method = METHODS[name]
    torch.manual_seed(4)
    base, parent = torch.randn(2, 6, 7)
    count = min(2, method.max_parents or 2)
    values = {key: 1.0 / count for key in ("weight", "rest") if method.parameter(key)}
    values |= {"t": 1.0} if method.parameter("t") else {}
    found = whole(method, inputs_for(method, [parent] * count, base, **values))
    assert torch.allclose(found, parent, rtol=1e-5, atol=1e-5)
