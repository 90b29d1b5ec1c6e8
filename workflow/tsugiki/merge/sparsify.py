"""What is kept of a task vector: its large elements, or some at random; the formula for any device."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tsugiki.merge.inputs import MergeInputs
from tsugiki.merge.kernels.elements import Bits, Floats
from tsugiki.merge.kernels.task_vectors import ALL, LARGE, PROBABLE, RANDOM


@dataclass(frozen=True)
class SparseTerm:
    """One parent's term of a sum: a factor times what is kept of its task vector."""

    factor: float
    rule: int = ALL
    limit: float = 0.0
    """Least magnitude (`LARGE`) or density (`RANDOM`, see `masks.cut`) that is kept."""
    ceiling: float = math.inf
    """Largest magnitude (`LARGE`) that is kept."""
    probabilities: Callable[[Tensor], Tensor] | None = None
    """Of each element of a task vector (`PROBABLE`)."""
    probabilities_of_rows: Callable[[Bits, Bits], Floats] | None = None
    """Of each element in whole rows of base and parent, for the compiled loop (`PROBABLE`)."""


def sparsified(inputs: MergeInputs, index: int, term: SparseTerm) -> Tensor:
    """A parent's term: factor * kept elements of its task vector, zero elsewhere; float32."""
    vector = inputs.tensors.task_vector(index)
    if term.rule == LARGE:
        vector = trim(vector, term.limit, term.ceiling)
    elif term.rule == RANDOM:
        kept = inputs.tensors.uniforms(index, inputs.mask_seed) < term.limit
        vector = torch.where(kept, vector, 0.0)
    elif term.rule == PROBABLE:
        assert term.probabilities is not None
        probabilities = term.probabilities(vector)
        kept = inputs.tensors.uniforms(index, inputs.mask_seed) < probabilities
        vector = torch.where(kept, vector / probabilities, 0.0)
    return vector * term.factor


def kept_count(density: float, numel: int) -> int:
    """How many of `numel` elements a density keeps: none for 0, otherwise at least one, if there is one."""
    return max(min(1, numel), math.floor(density * numel)) if density > 0.0 else 0


def bounds(
    inputs: MergeInputs, index: int, density: float, gamma: float = 0.0
) -> tuple[float, float]:
    """Smallest and largest magnitude of a parent's changes that are kept.

    The share `gamma` of the largest is dropped, and the share `density` that follows is kept; less
    is dropped at the top if not enough would follow. As in the code of Yadav et al. 2023, all
    elements as large as the first or last one kept are kept too.
    """
    numel = inputs.numel
    count = kept_count(density, numel)
    if count == 0:
        return math.inf, math.inf
    above = min(math.floor(gamma * numel), numel - count)
    low = inputs.tensors.largest(index, above + count) if above + count < numel else 0.0
    high = inputs.tensors.largest(index, above + 1) if above else math.inf
    return low, high


def trim(vector: Tensor, low: float, high: float) -> Tensor:
    """The elements whose magnitude lies between `low` and `high`, inclusive; zero elsewhere."""
    magnitude = vector.abs()
    return torch.where((magnitude >= low) & (magnitude <= high), vector, 0.0)
