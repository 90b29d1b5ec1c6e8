"""Keeping the elements of a task vector by their magnitude, without sorting it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tsugiki.merge.operands import Operands


def kept(density: float, numel: int) -> int:
    """How many of `numel` elements a density keeps: none for 0, otherwise at least one, if there is one."""
    return max(min(1, numel), math.floor(density * numel)) if density > 0.0 else 0


def bounds(
    operands: Operands, index: int, density: float, gamma: float = 0.0
) -> tuple[float, float]:
    """Smallest and largest magnitude of a parent's changes that are kept.

    The share `gamma` of the largest is dropped, and the share `density` that follows is kept; less
    is dropped at the top if not enough would follow. As in the code of Yadav et al. 2023, all
    elements as large as the first or last one kept are kept too.
    """
    numel = operands.numel
    count = kept(density, numel)
    if count == 0:
        return math.inf, math.inf
    above = min(math.floor(gamma * numel), numel - count)
    low = operands.source.largest(index, above + count) if above + count < numel else 0.0
    high = operands.source.largest(index, above + 1) if above else math.inf
    return low, high


def trim(vector: Tensor, low: float, high: float) -> Tensor:
    """The elements whose magnitude lies between `low` and `high`, inclusive; zero elsewhere."""
    magnitude = vector.abs()
    return torch.where((magnitude >= low) & (magnitude <= high), vector, 0.0)
