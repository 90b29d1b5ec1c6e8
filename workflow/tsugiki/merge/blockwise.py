"""Merging a tensor by the compiled loops of `kernels`, as a whole or piece by piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tsugiki.merge.kernels.elements import Bits, elements_of

PIECE = 1 << 18
"""Elements of a piece: few enough to stay in the second-level cache until they are written, and a
multiple of the loops' blocks."""

WRITTEN = frozenset({torch.bfloat16, torch.float32})
"""Formats that the loops write themselves; others are made from float32."""


@dataclass(frozen=True)
class BlockwiseMerge:
    """A tensor that can be merged piece by piece, in any number format."""

    shape: tuple[int, ...]
    merge: Callable[[int, int, Bits], bool]
    """Write the elements from one place to another; whether all of them are finite. Raises ParentError
    if a parent's are not."""
    row: int = 1
    """Elements that are merged together: places are multiples of it."""

    def whole(self, dtype: torch.dtype) -> tuple[Tensor, int]:
        """The tensor, and how many of its elements are not finite."""
        size = math.prod(self.shape) * dtype.itemsize
        if not size:
            return torch.empty(self.shape, dtype=dtype), 0
        # NumPy asks for large pages, which the loop fills faster; torch does not.
        memory = np.empty(size, np.uint8)
        merged = torch.from_numpy(memory).view(dtype).view(self.shape)
        return merged, sum(bad for _, bad in self.pieces(dtype, merged))

    def pieces(
        self, dtype: torch.dtype, into: Tensor | None = None
    ) -> Iterator[tuple[Tensor, int]]:
        """The tensor's elements, flat and piece by piece, each with how many are not finite.

        Args:
            dtype: Number format of the result.
            into: Where to write the elements: a contiguous tensor of as many. The loop itself writes
                there if it is in the processor's memory and of the result's format; otherwise each
                piece is copied. If absent, each piece is overwritten by the next one.
        """
        size = math.prod(self.shape)
        if not size:
            return
        target = None if into is None else into.view(-1)
        own = None
        if target is not None and target.is_cpu and target.dtype == dtype in WRITTEN:
            own = elements_of(target)
        step = min(max(PIECE // self.row, 1) * self.row, size)
        buffer = np.empty(step if own is None else 0, _bits_type(dtype))
        for begin in range(0, size, step):
            end = min(begin + step, size)
            out = buffer[: end - begin] if own is None else own[begin:end]
            piece, bad = _tensor(out, dtype, finite=self.merge(begin, end, out))
            if target is not None and own is None:
                target[begin:end].copy_(piece)
            yield piece, bad


def _tensor(out: Bits, dtype: torch.dtype, *, finite: bool) -> tuple[Tensor, int]:
    if out.itemsize == 2:
        merged = torch.from_numpy(out.view(np.int16)).view(torch.bfloat16)
    else:
        merged = torch.from_numpy(out.view(np.float32)).to(dtype)
    if finite and dtype != torch.float16:  # of a smaller range than the loop saw
        return merged, 0
    return merged, int((~torch.isfinite(merged)).sum())


def _bits_type(dtype: torch.dtype) -> type[np.uint16 | np.uint32]:
    return np.uint16 if dtype == torch.bfloat16 else np.uint32
