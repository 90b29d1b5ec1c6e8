"""Merging a tensor by the compiled loops of `kernels`, as a whole or piece by piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tsugiki.merge.inputs import MergeInputs
from tsugiki.merge.kernels import sums
from tsugiki.merge.kernels.elements import Bits, addresses

PIECE = 1 << 18
"""Elements of a piece: few enough to stay in the second-level cache until they are written, and a
multiple of the loops' blocks."""

WRITTEN = frozenset({torch.bfloat16, torch.float32})
"""Formats that the loops write themselves; others are made from float32."""


def bits_of(tensor: Tensor) -> Bits:
    """A tensor's elements, flat: uint16 for bfloat16, otherwise uint32 (converted to float32).

    No copy is made of contiguous bfloat16 and float32, unless a file has them at odd addresses.
    """
    flat = tensor.contiguous().flatten()
    if flat.dtype == torch.bfloat16:
        bits: Bits = flat.view(torch.int16).numpy().view(np.uint16)
    else:
        bits = flat.float().view(torch.int32).numpy().view(np.uint32)
    return np.require(bits, requirements="A")


def in_one_format(models: Sequence[Bits]) -> tuple[Bits, ...]:
    """The models' elements as float32, unless all are bfloat16."""
    if all(model.itemsize == 2 for model in models):
        return tuple(models)
    return tuple(
        model if model.itemsize == 4 else model.astype(np.uint32) << np.uint32(16)
        for model in models
    )


def base_and_parents(inputs: MergeInputs) -> tuple[Bits, ...]:
    """Elements of the base and of every parent, in one format."""
    return in_one_format([inputs.tensors.bits(index) for index in (None, *range(inputs.count))])


@dataclass(frozen=True)
class BlockwiseMerge:
    """A tensor that can be merged piece by piece."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    """Number format of the result."""
    merge: Callable[[int, int, Bits], bool]
    """Write the elements from one place to another; whether all of them are finite. Raises ParentError
    if a parent's are not."""
    row: int = 1
    """Elements that are merged together: places are multiples of it."""

    def whole(self) -> tuple[Tensor, int]:
        """The tensor, and how many of its elements are not finite."""
        size = math.prod(self.shape) * self.dtype.itemsize
        if not size:
            return torch.empty(self.shape, dtype=self.dtype), 0
        # NumPy asks for large pages, which the loop fills faster; torch does not.
        memory = np.empty(size, np.uint8)
        merged = torch.from_numpy(memory).view(self.dtype).view(self.shape)
        return merged, sum(bad for _, bad in self.pieces(merged))

    def pieces(self, into: Tensor | None = None) -> Iterator[tuple[Tensor, int]]:
        """The tensor's elements, flat and piece by piece, each with how many are not finite.

        Args:
            into: Where to write the elements: a contiguous tensor of as many. The loop itself writes
                there if it is in the processor's memory and of the result's format; otherwise each
                piece is copied. If absent, each piece is overwritten by the next one.
        """
        size = math.prod(self.shape)
        if not size:
            return
        target = None if into is None else into.view(-1)
        own = None
        if target is not None and target.is_cpu and target.dtype == self.dtype in WRITTEN:
            own = bits_of(target)
        step = min(max(PIECE // self.row, 1) * self.row, size)
        buffer = np.empty(step if own is None else 0, _bits_type(self.dtype))
        for begin in range(0, size, step):
            end = min(begin + step, size)
            out = buffer[: end - begin] if own is None else own[begin:end]
            piece, bad = self._tensor(out, finite=self.merge(begin, end, out))
            if target is not None and own is None:
                target[begin:end].copy_(piece)
            yield piece, bad

    def _tensor(self, out: Bits, *, finite: bool) -> tuple[Tensor, int]:
        if out.itemsize == 2:
            merged = torch.from_numpy(out.view(np.int16)).view(torch.bfloat16)
        else:
            merged = torch.from_numpy(out.view(np.float32)).to(self.dtype)
        if finite and self.dtype != torch.float16:  # of a smaller range than the loop saw
            return merged, 0
        return merged, int((~torch.isfinite(merged)).sum())


def weighted_sum(
    inputs: MergeInputs,
    weights: Sequence[float],
    dtype: torch.dtype,
    *,
    models: Sequence[int | None] | None = None,
) -> BlockwiseMerge:
    """Sum of weight * model in the number format `dtype`.

    Args:
        inputs: The tensor that is merged.
        weights: One for each model.
        dtype: Number format of the result.
        models: The models, by their places, None for the base; all parents if absent.
    """
    chosen = range(inputs.count) if models is None else models
    summed = in_one_format([inputs.tensors.bits(index) for index in chosen])
    factors = np.array(weights, np.float32)

    def merge(begin: int, end: int, out: Bits) -> bool:
        these = [model[begin:end] for model in summed]
        finite = bool(sums.weighted_sum(these[0], addresses(these), factors, out))
        if not finite:  # even a weight of zero lets what is not finite through
            inputs.tensors.require_finite()
        return finite

    return BlockwiseMerge(inputs.shape, dtype, merge)


def _bits_type(dtype: torch.dtype) -> type[np.uint16 | np.uint32]:
    return np.uint16 if dtype == torch.bfloat16 else np.uint32
