"""Handing a tensor of all models to the compiled loops of `kernels`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tsugiki.merge import kernels
from tsugiki.merge.masks import mask_key
from tsugiki.merge.operands import Operands


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


def weighted_sum(
    operands: Operands, weights: Sequence[float], dtype: torch.dtype
) -> tuple[Tensor, int]:
    """Sum of weight * parent in the number format `dtype`, and how many elements are not finite.

    Raises:
        ParentError: a parent's tensor is not finite.
    """
    models = alike([operands.source.bits(index) for index in range(operands.count)])
    out = np.empty(models[0].size, _bits_type(dtype))
    finite = kernels.weighted_sum(models, np.array(weights, np.float32), out)
    if not finite:  # even a weight of zero lets what is not finite through
        operands.source.require_finite()
    return _finish(operands, out, finite, dtype)


def add_task_vectors(
    operands: Operands, kept: Sequence[Kept], dtype: torch.dtype, *, consensus: bool
) -> tuple[Tensor, int]:
    """The same as `task_vectors.add_task_vectors`, cast to `dtype`.

    Returns:
        The merged tensor, and how many of its elements are not finite.

    Raises:
        RecipeError: the weights are to be normalised and cancel.
        ParentError: a parent's or the base's tensor is not finite.
    """
    normalize = operands.flag("normalize")
    divisor = operands.weights_summing() if normalize else 1.0
    base, *parents = alike(
        [operands.source.bits(index) for index in (None, *range(operands.count))]
    )
    out = np.empty(base.size, _bits_type(dtype))
    keys = [mask_key(operands.mask_seed, operands.name, digest) for digest in operands.digests]
    finite, finite_vectors = kernels.add_task_vectors(
        base,
        tuple(parents),
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
        out,
    )
    if not finite_vectors:
        operands.source.require_finite()
    return _finish(operands, out, finite, dtype)


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


def _finish(
    operands: Operands, out: kernels.Bits, finite: bool, dtype: torch.dtype
) -> tuple[Tensor, int]:
    if out.itemsize == 2:
        merged = torch.from_numpy(out.view(np.int16)).view(torch.bfloat16)
    else:
        merged = torch.from_numpy(out.view(np.float32)).to(dtype)
    if finite and dtype != torch.float16:  # which has a smaller range than the compiled loop saw
        return merged.view(operands.shape), 0
    return merged.view(operands.shape), int((~torch.isfinite(merged)).sum())
