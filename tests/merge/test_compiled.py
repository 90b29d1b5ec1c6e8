"""Compiled loops against the torch formulas of the methods, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.merge.tensors_for_tests import inputs_for
from tsugiki.errors import ParentError
from tsugiki.merge import blockwise
from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.method import MergeInputs, Method
from tsugiki.merge.registry import METHODS

COMPILED = [name for name, method in METHODS.items() if method.blockwise]
SUMS = [
    name
    for name in COMPILED
    if name not in {"sce", "model_stock", "slerp", "nuslerp", "multislerp", "karcher"}
]
FORMATS = (torch.float32, torch.bfloat16, torch.float16)
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


def made(name: str, inputs: MergeInputs, dtype: torch.dtype) -> BlockwiseMerge:
    """What the method's compiled loop is about to make."""
    compiled = METHODS[name].blockwise
    assert compiled is not None
    result = compiled(inputs, dtype)
    assert result is not None
    return result


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0)])
@pytest.mark.parametrize("name", METHODS)
def test_an_empty_tensor_stays_empty(name: str, shape: tuple[int, ...]) -> None:
    """By the formula and by the compiled loop, as a whole and in no pieces."""
    method = METHODS[name]
    count = min(3, method.max_parents or 3)
    empty = torch.zeros(shape)
    inputs = inputs_for(method, [empty] * count, empty, **values_for(method, count))
    assert method.merge(inputs).shape == shape
    if method.blockwise is None:
        return
    for dtype in FORMATS:
        merged, bad = made(name, inputs, dtype).whole()
        assert (merged.shape, merged.dtype, bad) == (shape, dtype, 0)
        assert list(made(name, inputs, dtype).pieces(merged)) == []


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("shape", [(1,), (63,), (2048,), (2049,), (5, 1201), (40, 1), ()])
@pytest.mark.parametrize("name", COMPILED)
def test_the_compiled_loop_gives_the_bits_of_the_formula(
    name: str, shape: tuple[int, ...], normalize: bool
) -> None:
    """In every number format, with blocks that end inside and at the end of the tensor."""
    method = METHODS[name]
    generator = torch.Generator().manual_seed(len(shape))
    rows = [torch.randn(shape, generator=generator) for _ in range(4)]
    mixes: list[list[Tensor]] = [
        rows,
        [row.bfloat16() for row in rows],
        [rows[0], *(row.bfloat16() for row in rows[1:])],
        [rows[0].bfloat16(), *(row.half() for row in rows[1:])],
    ]
    count = min(3, method.max_parents or 3)
    values = values_for(method, count)
    if method.option("normalize"):
        values["normalize"] = normalize
    elif normalize:
        return
    for base, *parents in mixes:
        inputs = inputs_for(method, parents[:count], base, **values)
        expected = method.merge(inputs)
        for dtype in FORMATS:
            merged, bad = made(name, inputs, dtype).whole()
            assert bad == 0
            assert merged.dtype == dtype
            assert torch.equal(merged, expected.to(dtype))


@pytest.mark.parametrize("name", ["nuslerp", "multislerp", "linear"])
def test_the_compiled_loop_without_a_base(name: str) -> None:
    """The parents themselves are combined."""
    torch.manual_seed(0)
    inputs = inputs_for(METHODS[name], list(torch.randn(2, 3000)), weight=(0.4, 0.9))
    expected = METHODS[name].merge(inputs)
    assert torch.equal(made(name, inputs, torch.float32).whole()[0], expected)


@pytest.mark.parametrize("name", SUMS)
def test_the_compiled_loop_counts_what_overflows(name: str) -> None:
    """Elements beyond the number format's range are counted, whatever the format."""
    method = METHODS[name]
    big = torch.tensor([3.3e38, 1.0, -3.3e38])
    values = {"normalize": False} if method.option("normalize") else {}
    inputs = inputs_for(method, [big, big], torch.zeros(3), weight=1.0, **values)
    for dtype in FORMATS:
        assert made(name, inputs, dtype).whole()[1] == 2


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
        made(name, inputs, torch.float32).whole()


@pytest.mark.parametrize("name", COMPILED)
def test_pieces_are_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random masks go on where the piece before has ended; rows are not divided."""
    monkeypatch.setattr(blockwise, "PIECE", 1024)
    method = METHODS[name]
    count = min(2, method.max_parents or 2)
    generator = torch.Generator().manual_seed(3)
    base, *parents = (torch.randn(9, 375, generator=generator) for _ in range(1 + count))
    inputs = inputs_for(method, parents, base, **values_for(method, count))
    for dtype in FORMATS:
        pieces = [piece.clone() for piece, _ in made(name, inputs, dtype).pieces()]
        assert len(pieces) > 3
        whole = made(name, inputs, dtype).whole()[0]
        assert torch.equal(torch.cat(pieces).view(9, 375), whole)
        assert torch.equal(whole, method.merge(inputs).to(dtype))


@pytest.mark.parametrize(
    ("name", "options"), [("nuslerp", {"vectors": "rows"}), ("model_stock", {"filter_wise": True})]
)
def test_what_has_no_loop_is_left_to_the_formula(name: str, options: dict[str, Any]) -> None:
    """Vectors that are rows."""
    compiled = METHODS[name].blockwise
    assert compiled is not None
    inputs = inputs_for(METHODS[name], list(torch.randn(2, 4, 5)), torch.randn(4, 5), **options)
    assert compiled(inputs, torch.float32) is None
