"""Rows taken by token: small tensors, by hand."""

from __future__ import annotations

import torch

from tsugiki.parents.prepare.tensors import RowSource, aligned_rows


def source(origins: list[int | None], rows: list[list[float]]) -> RowSource:
    """A model's tensor."""
    return RowSource(origins, lambda: torch.tensor(rows))


BASE = source([0, 1, None, None], [[0.0, 0.0], [1.0, 1.0]])
A = source([1, 0, 2, None], [[10.0, 11.0], [12.0, 13.0], [14.0, 15.0]])
B = source([0, None, 1, 2], [[20.0, 21.0], [22.0, 23.0], [24.0, 25.0]])
MODELS = {"base": BASE, "a": A, "b": B}


def test_own_rows_come_in_the_aligned_order() -> None:
    """Row i of the result is the row of token i, wherever the model has it."""
    assert aligned_rows("a", MODELS, "base")[:3].tolist() == [[12, 13], [10, 11], [14, 15]]


def test_a_row_that_a_parent_lacks_is_that_of_the_base() -> None:
    """So that its task vector there is zero."""
    assert aligned_rows("b", MODELS, "base")[1].tolist() == [1, 1]


def test_a_row_that_the_base_lacks_is_the_mean_of_the_parents_that_have_it() -> None:
    """Token 2: a has (14, 15), b has (22, 23). Token 3: only b has it."""
    assert aligned_rows("base", MODELS, "base")[2:].tolist() == [[18, 19], [24, 25]]


def test_a_parent_that_lacks_what_the_base_lacks_gets_the_base_s_row() -> None:
    """Its task vector is zero there too, and the row of the one parent that has it is kept."""
    rows = {name: aligned_rows(name, MODELS, "base")[3] for name in MODELS}
    assert rows["a"].tolist() == rows["base"].tolist() == rows["b"].tolist() == [24, 25]


def test_without_a_base_a_lacking_row_is_the_mean_of_those_that_have_it() -> None:
    """Linear merges and the like have no base."""
    assert aligned_rows("b", MODELS, None)[1].tolist() == [(1 + 10) / 2, (1 + 11) / 2]


def test_a_row_that_no_model_has_is_the_mean_of_the_base_s_rows() -> None:
    """Padding that is new; all models have the same."""
    models = {
        "base": source([0, 1, None], [[0.0], [4.0]]),
        "a": source([0, 1, None], [[8.0], [9.0]]),
    }
    assert aligned_rows("a", models, "base").tolist() == [[8], [9], [2]]
    assert aligned_rows("base", models, "base").tolist() == [[0], [4], [2]]


def test_biases_of_heads_are_rows_too() -> None:
    """A tensor of one dimension."""
    models = {
        "base": RowSource([1, 0], lambda: torch.tensor([1.0, 2.0])),
        "a": RowSource([0, None], lambda: torch.tensor([5.0])),
    }
    assert aligned_rows("base", models, "base").tolist() == [2, 1]
    assert aligned_rows("a", models, "base").tolist() == [5, 1]


def test_each_model_keeps_its_number_format() -> None:
    """Rows from others are cast."""
    models = {
        "base": RowSource([0, 1], lambda: torch.tensor([[1.0], [1.00390625]])),
        "a": RowSource([0, None], lambda: torch.tensor([[3.0]], dtype=torch.bfloat16)),
    }
    made = aligned_rows("a", models, "base")
    assert made.dtype == torch.bfloat16
    assert made.tolist() == [[3.0], [1.0]]
