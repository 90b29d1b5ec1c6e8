"""Formulas in torch of what the package has only as a compiled loop, for comparison bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from tsugiki.merge.method import MergeInputs
from tsugiki.merge.registry import METHODS


def total_of(tensors: Sequence[Tensor]) -> Tensor:
    """The sum, one after another, in the tensors' number format."""
    return list(accumulate(tensors, torch.add))[-1]


def weighted_sum(
    inputs: MergeInputs,
    factors: Sequence[float],
    of: Literal["parents", "base and parents", "changes"],
) -> Tensor:
    """A sum of parents, of base and parents, or of the base and task vectors, each times a number."""
    parents = range(inputs.count)
    if of == "changes" and inputs.has_base:
        changes = [inputs.task_vector(index) * factors[index] for index in parents]
        return total_of(changes) + inputs.tensors.values(None)
    models = [None, *parents] if of == "base and parents" else list(parents)
    summands = zip(map(inputs.tensors.values, models), factors, strict=True)
    return total_of([summand * factor for summand, factor in summands])


def variance(vectors: Sequence[Tensor]) -> Tensor:
    """Mean squared distance of some tensors from their mean, element by element; float32."""
    mean = total_of(vectors) / len(vectors)
    return total_of([(vector - mean).square() for vector in vectors]) / len(vectors)


def sce(inputs: MergeInputs) -> Tensor:
    """Select by variance, weigh by squares, erase minority signs (Wan et al. 2024)."""
    vectors = [inputs.task_vector(index) for index in range(inputs.count)]
    varying, share, least = variance(vectors), inputs.shared["select_topk"], 0.0
    if share < 1.0:
        count = math.floor(share * int((varying > 0.0).sum()))
        ordered = varying.flatten().sort(descending=True).values
        least = float(ordered[count - 1]) if count else math.nan
    vectors = [torch.where(varying >= least, vector, 0.0) for vector in vectors]
    squares = [float(vector.double().square().sum()) for vector in vectors]
    weights = [square / sum(squares) if any(squares) else 1 / len(squares) for square in squares]
    signs = torch.where(total_of(vectors) >= 0.0, 1.0, -1.0)
    agree = [vector * signs > 0.0 for vector in vectors]
    terms = zip(vectors, agree, weights, strict=True)
    total = total_of([vector * agrees * weight for vector, agrees, weight in terms])
    weight_sum = total_of([agrees * weight for agrees, weight in zip(agree, weights, strict=True)])
    return total / weight_sum.masked_fill(weight_sum == 0.0, 1.0) + inputs.tensors.values(None)


FORMULAS: dict[str, Callable[[MergeInputs], Tensor]] = {
    "sce": sce,
    **{name: method.on_device for name, method in METHODS.items() if method.on_device},
}
"""Of methods: those that the package has for other devices, and those of this file."""
