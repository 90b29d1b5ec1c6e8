"""Compiled loops against formulas in torch, bit for bit."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from tests.merge import formulas
from tests.merge.formulas import FORMULAS
from tests.merge.tensors_for_tests import inputs_for, whole
from tsugiki.errors import ParentError
from tsugiki.merge import blockwise, weighted
from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.method import MergeInputs, Method
from tsugiki.merge.registry import METHODS

COMPILED = [name for name in METHODS if name not in {"svd_task_arithmetic", "passthrough"}]
SUMS = [name for name in COMPILED if METHODS[name].on_device]
FORMATS = (torch.float32, torch.bfloat16, torch.float16)
SHAPES = [(1,), (63,), (2048,), (2049,), (5, 1201), (40, 1), ()]
VALUES: dict[str, Any] = {
    "weight": (0.4, 0.2, 1.1),
    "density": (0.3, 1.0, 0.0),
    "gamma": (0.05, 0.0, 0.1),
    "t": (0.3,),
    "select_topk": 0.4,
    "lambda": 0.7,
}


def values_for(method: Method, count: int) -> dict[str, Any]:
    """Values of a method's parameters and options, for so many parents."""
    names = [spec.name for spec in (*method.parameters, *method.options)]
    return {
        name: value[:count] if isinstance(value, tuple) else value
        for name, value in VALUES.items()
        if name in names
    }


def made(name: str, inputs: MergeInputs) -> BlockwiseMerge:
    """The method's compiled loop, about to merge."""
    result = METHODS[name].merge(inputs)
    assert isinstance(result, BlockwiseMerge)
    return result


def models_in_formats(shape: tuple[int, ...]) -> list[list[Tensor]]:
    """A base and three parents, stored alike or not."""
    generator = torch.Generator().manual_seed(len(shape))
    rows = [torch.randn(shape, generator=generator) for _ in range(4)]
    return [
        rows,
        [row.bfloat16() for row in rows],
        [rows[0], *(row.bfloat16() for row in rows[1:])],
        [rows[0].bfloat16(), *(row.half() for row in rows[1:])],
    ]


def same_in_every_format(loop: BlockwiseMerge, expected: Tensor) -> bool:
    """Whether a loop gives the bits of a formula, all of them finite."""
    for dtype in FORMATS:
        merged, bad = loop.whole(dtype)
        if bad or merged.dtype != dtype or not torch.equal(merged, expected.to(dtype)):
            return False
    return True


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0)])
@pytest.mark.parametrize("name", METHODS)
def test_an_empty_tensor_stays_empty(name: str, shape: tuple[int, ...]) -> None:
    """By the method, by its formula for other devices, and in no pieces."""
    method = METHODS[name]
    count = min(3, method.max_parents or 3)
    empty = torch.zeros(shape)
    inputs = inputs_for(method, [empty] * count, empty, **values_for(method, count))
    if method.on_device is not None:
        assert method.on_device(inputs).shape == shape
    for dtype in FORMATS:
        merged = whole(method, inputs, dtype)
        assert (merged.shape, merged.dtype) == (shape, dtype)
        if name in COMPILED:
            assert list(made(name, inputs).pieces(dtype, merged)) == []


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", [*SUMS, "sce"])
def test_the_compiled_loop_gives_the_bits_of_the_formula(
    name: str, shape: tuple[int, ...], normalize: bool
) -> None:
    """In every number format, with blocks that end inside and at the end of the tensor."""
    method = METHODS[name]
    values = values_for(method, 3)
    if method.option("normalize"):
        values["normalize"] = normalize
    elif normalize:
        return
    for base, *parents in models_in_formats(shape):
        inputs = inputs_for(method, parents, base, **values)
        assert same_in_every_format(made(name, inputs), FORMULAS[name](inputs))


@pytest.mark.parametrize("of", ["parents", "base and parents", "changes"])
@pytest.mark.parametrize("has_base", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_weighted_sum_has_the_bits_of_the_formula(
    of: Literal["parents", "base and parents", "changes"],
    has_base: bool,
    shape: tuple[int, ...],
) -> None:
    """Which is what methods give that find a number for each model; without a base, changes are the parents."""
    if of == "base and parents" and not has_base:
        return
    factors = (0.4, -0.2, 1.1, 0.7)[: 4 if of == "base and parents" else 3]
    for base, *parents in models_in_formats(shape):
        inputs = inputs_for(METHODS["linear"], parents, base if has_base else None)
        expected = formulas.weighted_sum(inputs, factors, of)
        assert same_in_every_format(weighted.weighted_sum(inputs, factors, of), expected)


@pytest.mark.parametrize("name", SUMS)
def test_the_compiled_loop_counts_what_overflows(name: str) -> None:
    """Elements beyond the number format's range are counted, whatever the format."""
    method = METHODS[name]
    big = torch.tensor([3.3e38, 1.0, -3.3e38])
    values = {"normalize": False} if method.option("normalize") else {}
    inputs = inputs_for(method, [big, big], torch.zeros(3), weight=1.0, **values)
    for dtype in FORMATS:
        assert made(name, inputs).whole(dtype)[1] == 2


@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_in_a_parent_is_found(
    name: str, bad: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it lies, whatever the method makes of it."""
    method = METHODS[name]
    count = min(2, method.max_parents or 2)
    torch.manual_seed(2)
    base, *parents = torch.randn(1 + count, 1500)
    parents[-1][1400] = bad
    inputs = inputs_for(method, parents, base, **values_for(method, count))

    def refuse(_: object) -> None:
        raise ParentError("not finite")

    monkeypatch.setattr(type(inputs.tensors), "require_finite", refuse)
    with pytest.raises(ParentError, match="not finite"):
        made(name, inputs).whole(torch.float32)


@pytest.mark.parametrize("name", COMPILED)
def test_pieces_are_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random masks go on where the piece before has ended; rows are not divided."""
    method = METHODS[name]
    count = min(2, method.max_parents or 2)
    generator = torch.Generator().manual_seed(3)
    base, *parents = (torch.randn(9, 375, generator=generator) for _ in range(1 + count))
    inputs = inputs_for(method, parents, base, **values_for(method, count))
    wholes = {dtype: whole(method, inputs, dtype) for dtype in FORMATS}
    monkeypatch.setattr(blockwise, "PIECE", 1024)
    for dtype in FORMATS:
        pieces = [piece.clone() for piece, _ in made(name, inputs).pieces(dtype)]
        assert len(pieces) > 3
        assert torch.equal(torch.cat(pieces).view(9, 375), wholes[dtype])


@pytest.mark.parametrize(
    ("name", "options"), [("nuslerp", {"vectors": "rows"}), ("model_stock", {"filter_wise": True})]
)
def test_vectors_that_are_rows_have_no_loop(name: str, options: dict[str, Any]) -> None:
    """They are merged in torch, on the processor."""
    inputs = inputs_for(METHODS[name], list(torch.randn(2, 4, 5)), torch.randn(4, 5), **options)
    assert isinstance(METHODS[name].merge(inputs), Tensor)
