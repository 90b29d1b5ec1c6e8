"""Handing a tensor of all models to the compiled loops of `kernels`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tsugiki.merge import kernels
from tsugiki.merge.masks import mask_key
from tsugiki.merge.operands import Operands

PIECE = 1 << 18
"""Elements of a piece: few enough to stay in the second-level cache until they are written, and a
multiple of the loops' blocks."""


@dataclass(frozen=True)
class Kept:
    """What is kept of one parent's task vector, and by what it is multiplied."""

    factor: float
    rule: int = kernels.ALL
    limit: float = 0.0
    """Least magnitude (`LARGE`) or density (`RANDOM`, see `masks.cut`) that is kept."""
    ceiling: float = math.inf
    """Largest magnitude (`LARGE`) that is kept."""


def bits_of(tensor: Tensor) -> kernels.Bits:
    """A tensor's elements, flat: uint16 for bfloat16, otherwise uint32 (converted to float32).

    No copy is made of contiguous bfloat16 and float32.
    """
    flat = tensor.contiguous().flatten()
    if flat.dtype == torch.bfloat16:
        return flat.view(torch.int16).numpy().view(np.uint16)
    return flat.float().view(torch.int32).numpy().view(np.uint32)


@dataclass(frozen=True)
class Fused:
    """A tensor that can be merged piece by piece."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    """Number format of the result."""
    merge: Callable[[int, int, kernels.Bits], bool]
    """Write the elements from one place to another; whether all of them are finite. Raises ParentError
    if a parent's are not."""

    def whole(self) -> tuple[Tensor, int]:
        """The tensor, and how many of its elements are not finite."""
        merged, bad = self._piece(0, math.prod(self.shape), None)
        return merged.view(self.shape), bad

    def pieces(self) -> Iterator[tuple[Tensor, int]]:
        """The same, flat and piece by piece; each is overwritten by the next one."""
        size = math.prod(self.shape)
        buffer = np.empty(min(size, PIECE), _bits_type(self.dtype))
        for begin in range(0, size, PIECE):
            yield self._piece(begin, min(begin + PIECE, size), buffer)

    def _piece(self, begin: int, end: int, buffer: kernels.Bits | None) -> tuple[Tensor, int]:
        count = end - begin
        out = np.empty(count, _bits_type(self.dtype)) if buffer is None else buffer[:count]
        finite = self.merge(begin, end, out)
        if out.itemsize == 2:
            merged = torch.from_numpy(out.view(np.int16)).view(torch.bfloat16)
        else:
            merged = torch.from_numpy(out.view(np.float32)).to(self.dtype)
        if finite and self.dtype != torch.float16:  # of a smaller range than the loop saw
            return merged, 0
        return merged, int((~torch.isfinite(merged)).sum())


def weighted_sum(operands: Operands, weights: Sequence[float], dtype: torch.dtype) -> Fused:
    """Sum of weight * parent in the number format `dtype`."""
    models = alike([operands.source.bits(index) for index in range(operands.count)])
    factors = np.array(weights, np.float32)

    def merge(begin: int, end: int, out: kernels.Bits) -> bool:
        parents = tuple(model[begin:end] for model in models)
        finite: bool = kernels.weighted_sum(parents, factors, out)
        if not finite:  # even a weight of zero lets what is not finite through
            operands.source.require_finite()
        return finite

    return Fused(operands.shape, dtype, merge)


def add_task_vectors(
    operands: Operands, kept: Sequence[Kept], dtype: torch.dtype, *, consensus: bool
) -> Fused:
    """The same as `task_vectors.add_task_vectors`, cast to `dtype`.

    Raises:
        RecipeError: the weights are to be normalised and cancel.
    """
    normalize = operands.flag("normalize")
    divisor = operands.weights_summing() if normalize else 1.0
    base, *parents = alike(
        [operands.source.bits(index) for index in (None, *range(operands.count))]
    )
    keys = [mask_key(operands.mask_seed, operands.name, digest) for digest in operands.digests]
    arguments = (
        np.array([parent.factor for parent in kept], np.float32),
        np.array(operands.per_parent["weight"], np.float32),
        np.array([parent.rule for parent in kept], np.int64),
        np.array([parent.limit for parent in kept], np.float32),
        np.array([parent.ceiling for parent in kept], np.float32),
        np.array(keys, np.uint64),
        consensus,
        normalize,
        np.float32(divisor),
        np.float32(operands.number("lambda")),
    )

    def merge(begin: int, end: int, out: kernels.Bits) -> bool:
        these = tuple(parent[begin:end] for parent in parents)
        found = kernels.add_task_vectors(base[begin:end], these, *arguments, begin, out)
        finite, finite_vectors = found
        if not finite_vectors:
            operands.source.require_finite()
        return bool(finite)

    return Fused(operands.shape, dtype, merge)


def alike(models: Sequence[kernels.Bits]) -> tuple[kernels.Bits, ...]:
    """The models' elements in one format: float32, unless all are bfloat16."""
    if all(model.itemsize == 2 for model in models):
        return tuple(models)
    return tuple(
        model if model.itemsize == 4 else model.astype(np.uint32) << np.uint32(16)
        for model in models
    )


def _bits_type(dtype: torch.dtype) -> type[np.uint16 | np.uint32]:
    return np.uint16 if dtype == torch.bfloat16 else np.uint32
