"""DELLA: drop changes at random, small ones more often (Deep et al. 2024)."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from tsugiki.merge.kernels.elements import Bits, Floats
from tsugiki.merge.kernels.selecting import by_rank, ranking_keys
from tsugiki.merge.kernels.task_vectors import PROBABLE
from tsugiki.merge.method import MergeInputs, Method, OptionSpec
from tsugiki.merge.task_vectors import (
    DENSITY,
    LAMBDA,
    WEIGHT,
    SparseTerm,
    normalize,
    sparse_sum,
)


def keep_probabilities(vector: Tensor, density: float, epsilon: float) -> Tensor:
    """Probability of keeping each element, by the rank of its magnitude in its row.

    The smallest magnitude of a row is kept with probability density - epsilon, the largest with
    density + epsilon, those between evenly spaced (section 3.1 of the paper). Epsilon is made
    smaller where these would leave [0, 1], so that density 0 keeps nothing and density 1 all. A row
    of one element is kept with the density itself. Equal magnitudes rank by their places.

    Args:
        vector: A task vector, float32. Its last dimension is the row.
        density: Mean probability.
        epsilon: Half the spread of the probabilities.

    Returns:
        float32 of the same shape.
    """
    spread = min(epsilon, density, 1.0 - density)
    width = vector.shape[-1] if vector.dim() else 1
    if width == 1:
        return torch.full_like(vector, density)
    # evenly spaced by the processor: others round the steps differently
    steps = torch.linspace(density - spread, density + spread, width).to(vector.device)
    order = vector.abs().argsort(dim=-1, stable=True)
    return torch.empty_like(vector).scatter_(-1, order, steps.expand(vector.shape))


def probabilities(base: Bits, parent: Bits, width: int, density: float, epsilon: float) -> Floats:
    """`keep_probabilities` of the changes in rows of `width`, flat, by sorting whole rows of numbers."""
    spread = min(epsilon, density, 1.0 - density)
    if width == 1 or spread == 0.0:
        return np.full(base.size, density, np.float32)
    steps = torch.linspace(density - spread, density + spread, width).numpy()
    keys = np.empty(base.size, np.uint64)
    ranking_keys(base, parent, width, keys)
    keys.reshape(-1, width).sort(axis=-1)
    found = np.empty(base.size, np.float32)
    by_rank(keys, width, steps, found)
    return found


def _width(inputs: MergeInputs) -> int:
    return inputs.shape[-1] if inputs.shape else 1


def _terms(inputs: MergeInputs) -> list[SparseTerm]:
    width, epsilon = _width(inputs), inputs.number("epsilon")
    pairs = zip(inputs.per_parent["weight"], inputs.per_parent["density"], strict=True)
    return [
        SparseTerm(
            weight,
            PROBABLE,
            probabilities=partial(keep_probabilities, density=density, epsilon=epsilon),
            probabilities_of_rows=partial(
                probabilities, width=width, density=density, epsilon=epsilon
            ),
        )
        for weight, density in pairs
    ]


PAPER = "Deep et al. 2024, DELLA-Merging, https://arxiv.org/abs/2406.11617"
EPSILON = OptionSpec(
    "epsilon", 0.15, "Half the spread of the probabilities within a row.", 0.0, 0.5
)

LINEAR = Method(
    name="della_linear",
    title="DELLA with task arithmetic",
    paper=PAPER,
    equation="merged = base + lambda * sum_i weight_i * m_i * (parent_i - base) / p_i,  "
    "m_i = 1 with probability p_i, else 0,  p_i from density_i - epsilon to density_i + epsilon "
    "by the rank of the magnitude in its row",
    **sparse_sum(_terms, consensus=False, row=_width),
    parameters=(WEIGHT, DENSITY),
    options=(EPSILON, normalize(default=False), LAMBDA),
)

TIES = Method(
    name="della",
    title="DELLA with TIES",
    paper=PAPER,
    equation="merged = base + lambda * sum_i a_i * t_i / sum_i a_i * weight_i,  "
    "t_i = weight_i * m_i * (parent_i - base) / p_i as for della_linear,  "
    "a_i = [sign(t_i) = sign(sum_j t_j)]; the division only with normalize",
    **sparse_sum(_terms, consensus=True, row=_width),
    parameters=(WEIGHT, DENSITY),
    options=(EPSILON, normalize(default=True), LAMBDA),
)
