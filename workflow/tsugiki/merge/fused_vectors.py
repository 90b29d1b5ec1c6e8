"""Adding task vectors to the base by the compiled loops of `kernels` (see `task_vectors`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tsugiki.merge.fused import Fused, changed
from tsugiki.merge.kernels import task_vectors as loops
from tsugiki.merge.kernels.elements import Bits, Floats
from tsugiki.merge.masks import mask_key
from tsugiki.merge.operands import Operands


@dataclass(frozen=True)
class Kept:
    """What is kept of one parent's task vector, and by what it is multiplied."""

    factor: float
    rule: int = loops.ALL
    limit: float = 0.0
    """Least magnitude (`LARGE`) or density (`RANDOM`, see `masks.cut`) that is kept."""
    ceiling: float = math.inf
    """Largest magnitude (`LARGE`) that is kept."""
    probabilities: Callable[[Bits, Bits], Floats] | None = None
    """Of the elements of whole rows of base and parent (`PROBABLE`)."""


def add_task_vectors(
    operands: Operands,
    kept: Sequence[Kept],
    dtype: torch.dtype,
    *,
    consensus: bool,
    row: int = 1,
) -> Fused:
    """The same as `task_vectors.add_task_vectors`, cast to `dtype`.

    Args:
        operands: The tensor that is merged.
        kept: What is kept of each parent's task vector.
        dtype: Number format of the result.
        consensus: Elect a sign for every element, and sum only what agrees with it.
        row: Elements that `Kept.probabilities` are given together.

    Raises:
        RecipeError: the weights are to be normalised and cancel.
    """
    normalize = operands.flag("normalize")
    return _add(
        operands,
        kept,
        dtype,
        consensus=consensus,
        normalize=normalize,
        divisor=operands.weights_summing() if normalize else 1.0,
        scale=operands.number("lambda"),
        row=row,
    )


def add_scaled(operands: Operands, factors: Sequence[float], dtype: torch.dtype) -> Fused:
    """Base plus the sum of factor * task vector, cast to `dtype`."""
    return _add(operands, [Kept(factor) for factor in factors], dtype)


def _add(
    operands: Operands,
    kept: Sequence[Kept],
    dtype: torch.dtype,
    *,
    consensus: bool = False,
    normalize: bool = False,
    divisor: float = 1.0,
    scale: float = 1.0,
    row: int = 1,
) -> Fused:
    base, *parents = changed(operands)
    keys = [mask_key(operands.mask_seed, operands.name, digest) for digest in operands.digests]
    factors = np.array([parent.factor for parent in kept], np.float32)
    weights = np.array(operands.per_parent.get("weight", factors), np.float32)
    rules = (
        np.array([parent.rule for parent in kept], np.int64),
        np.array([parent.limit for parent in kept], np.float32),
        np.array([parent.ceiling for parent in kept], np.float32),
        np.array(keys, np.uint64),
    )
    sums = (consensus, normalize, np.float32(divisor), np.float32(scale))

    def merge(begin: int, end: int, out: Bits) -> bool:
        origin, these = base[begin:end], tuple(parent[begin:end] for parent in parents)
        chances = np.empty((len(kept), 0), np.float32)
        if any(one.probabilities for one in kept):
            chances = np.empty((len(kept), end - begin), np.float32)
            for place, (one, parent) in enumerate(zip(kept, these, strict=True)):
                if one.probabilities is not None:
                    chances[place] = one.probabilities(origin, parent)
        found = loops.add_task_vectors(
            origin, these, factors, weights, *rules, chances, *sums, begin, out
        )
        finite, finite_vectors = found
        if not finite_vectors:
            operands.source.require_finite()
        return bool(finite)

    return Fused(operands.shape, dtype, merge, row)
