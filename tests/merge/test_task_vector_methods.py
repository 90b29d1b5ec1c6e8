"""Linear, task arithmetic, TIES and DARE on tensors worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.merge.tensors_for_tests import inputs_for, merge, whole
from tsugiki.errors import RecipeError
from tsugiki.merge.registry import METHODS

BASE = [1.0, 1.0, 1.0, 1.0]
A = [1.4, 0.8, 1.1, 1.0]  # task vector  0.4 -0.2  0.1  0.0
B = [0.9, 0.7, 1.3, 1.2]  # task vector -0.1 -0.3  0.3  0.2

WITH_BASE = ["task_arithmetic", "ties", "dare_linear", "dare_ties"]


def close(merged: Tensor, expected: Any) -> bool:
    """Equal within float32's rounding."""
    return torch.allclose(merged, torch.tensor(expected), rtol=1e-6, atol=1e-6)


def test_linear_averages() -> None:
    """Weights 1 and 3 give a quarter and three quarters."""
    assert close(merge("linear", [A, B], weight=(1, 3)), [1.025, 0.725, 1.25, 1.15])


def test_linear_without_normalisation_sums() -> None:
    """Weights are taken as they are."""
    merged = merge("linear", [A, B], weight=(1, 2), normalize=False)
    assert close(merged, [3.2, 2.2, 3.7, 3.4])


def test_task_arithmetic_adds_weighted_changes() -> None:
    """Base + 0.5 * (2 * a's change + b's change)."""
    merged = merge("task_arithmetic", [A, B], BASE, weight=(2, 1), lambda_=0.5)
    assert close(merged, [1.35, 0.65, 1.25, 1.1])


def test_task_arithmetic_normalised_averages_changes() -> None:
    """The changes are divided by the sum of the weights."""
    merged = merge("task_arithmetic", [A, B], BASE, weight=(1, 3), normalize=True)
    assert close(merged, [1.025, 0.725, 1.25, 1.15])


def test_ties_trims_elects_and_averages() -> None:
    """Worked out by hand.

    Half of each: a keeps 0.4 and -0.2, b keeps -0.3 and 0.3 (the magnitudes 0.3 are equal up to
    rounding, so each is given its own place below). First element: only a. Second: both agree.
    Third: only b. Fourth: nobody.
    """
    b = [0.9, 0.69, 1.3, 1.2]
    merged = merge("ties", [A, b], BASE, weight=1, density=0.5)
    assert close(merged, [1.4, 1 - (0.2 + 0.31) / 2, 1.3, 1.0])


def test_ties_drops_what_disagrees_with_the_weighted_sum() -> None:
    """0.4 against 5 * -0.1: the sign is negative, and only b's change is kept."""
    merged = merge("ties", [A, B], BASE, weight=(1, 5), density=1, normalize=False)
    assert merged[0].item() == pytest.approx(0.5)


def test_ties_takes_a_cancelled_sum_for_positive() -> None:
    """The convention for a sum of exactly zero."""
    merged = merge("ties", [[1.5], [0.5]], [1.0], weight=1, density=1, normalize=False)
    assert merged.item() == 1.5


def test_ties_keeps_all_elements_as_large_as_the_last_one_kept() -> None:
    """As in the authors' code: equal magnitudes are kept or dropped together."""
    merged = merge("ties", [[2.0, 2.0, 2.0, 3.0]], [1.0] * 4, density=0.5)
    assert merged.tolist() == [2.0, 2.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["dare_linear", "dare_ties"])
def test_dare_rescales_by_one_over_the_density(name: str) -> None:
    """Every element is the base's, or has its change divided by the density."""
    base, parent = torch.zeros(2000), torch.ones(2000)
    merged = merge(name, [parent], base, density=0.25)
    assert set(merged.tolist()) == {0.0, 4.0}
    assert 400 < int((merged == 4.0).sum()) < 600


def test_dare_keeps_the_expected_change() -> None:
    """Over many elements the mean change is the parent's (Yu et al. 2024, section 3.2)."""
    base, parent = torch.zeros(200_000), torch.full((200_000,), 0.3)
    merged = merge("dare_linear", [parent], base, density=0.1)
    assert merged.mean().item() == pytest.approx(0.3, rel=0.02)


def test_dare_masks_differ_between_parents() -> None:
    """Two parents with the same change are not dropped in the same places."""
    base, parent = torch.zeros(1000), torch.ones(1000)
    merged = merge("dare_linear", [parent, parent], base, density=0.5)
    assert set(merged.tolist()) == {0.0, 2.0, 4.0}


@pytest.mark.parametrize("name", ["dare_linear", "dare_ties", "ties"])
def test_density_0_is_the_base(name: str) -> None:
    """Nothing is kept: the base, bit for bit."""
    parent, base = torch.randn(70), torch.randn(70)
    values = {"normalize": False} if name == "ties" else {}
    assert torch.equal(merge(name, [parent], base, density=0.0, **values), base)


@pytest.mark.parametrize("name", ["dare_linear"])
def test_density_1_is_plain_task_arithmetic(name: str) -> None:
    """Everything is kept: task arithmetic, bit for bit."""
    parents, base = torch.randn(2, 70), torch.randn(70)
    merged = merge(name, list(parents), base, density=1.0, weight=(0.3, 0.9))
    assert torch.equal(merged, merge("task_arithmetic", list(parents), base, weight=(0.3, 0.9)))


def test_a_norm_of_64_elements_at_density_1_percent_keeps_one() -> None:
    """Rounding down to no element at all would make the density mean something else here."""
    parent, base = torch.randn(64), torch.zeros(64)
    merged = merge("ties", [parent], base, density=0.01)
    assert merged.count_nonzero() == 1
    assert merged.abs().max() == parent.abs().max()


@pytest.mark.parametrize("name", ["linear", *WITH_BASE])
def test_weights_that_cancel_are_no_valid_recipe(name: str) -> None:
    """+0.5 and -0.5 would be divided by zero."""
    base = None if name == "linear" else BASE
    with pytest.raises(RecipeError, match="sum to zero"):
        merge(name, [A, B], base, weight=(0.5, -0.5), normalize=True)


@pytest.mark.parametrize("name", WITH_BASE)
def test_weight_0_takes_no_part(name: str) -> None:
    """A parent with weight 0 changes nothing."""
    rows = torch.randn(3, 50)
    with_it = merge(name, [rows[0], rows[1]], rows[2], weight=(0.7, 0.0))
    assert torch.equal(with_it, merge(name, [rows[0]], rows[2], weight=0.7))


@pytest.mark.parametrize("name", list(METHODS))
def test_inputs_are_not_changed(name: str) -> None:
    """A method leaves parents and base as they were."""
    method = METHODS[name]
    torch.manual_seed(1)
    tensors = torch.randn(1 + max(method.min_parents, 1), 6, 4)
    before = tensors.clone()
    inputs = inputs_for(method, list(tensors[1:]), tensors[0])
    whole(method, inputs)
    if method.on_device is not None:
        method.on_device(inputs)
    assert torch.equal(tensors, before)


@settings(max_examples=30, deadline=None)
@given(
    weight=st.lists(st.floats(-2, 2, width=32), min_size=2, max_size=2),
    density=st.floats(0, 1),
    scale=st.sampled_from([0.5, 2.0, 8.0, -1.0]),
    name=st.sampled_from(["task_arithmetic", "dare_linear", "dare_ties", "ties"]),
)
def test_scaling_all_models_scales_the_merge(
    weight: list[float], density: float, scale: float, name: str
) -> None:
    """A power of two goes through without rounding; a sign too, save where a sum is zero."""
    rows = torch.linspace(-1, 1, 150).view(3, 50).sin()
    values: dict[str, Any] = {"weight": weight}
    if name != "task_arithmetic":
        values["density"] = density
    if name == "ties":
        values["normalize"] = False
    merged = merge(name, [rows[0], rows[1]], rows[2], **values)
    scaled = merge(name, [rows[0] * scale, rows[1] * scale], rows[2] * scale, **values)
    assert torch.allclose(scaled, merged * scale, rtol=0, atol=1e-6 * abs(scale))
