"""Model stock: how far to trust the average, from the angle between task vectors (Jang et al. 2024)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.method import MergeInputs, Method, OptionSpec
from tsugiki.merge.spherical import cosines, inner_products
from tsugiki.merge.weighted import weighted_sum


def ratio(cosine: Tensor, count: int) -> Tensor:
    """Share of the average (equation 2 of the paper), between 0 and 1.

    A mean angle beyond a right angle says that the parents have nothing in common, and gives the
    base; the formula itself would leave the base on the other side, or divide by zero.
    """
    cosine = cosine.clamp(0.0, 1.0)
    return count * cosine / (1.0 + (count - 1) * cosine)


def share(inputs: MergeInputs) -> float:
    """Share of the average for the whole tensor."""
    products = inner_products(inputs)
    lengths = np.sqrt(np.outer(products.diagonal(), products.diagonal()))
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0.0)
    pairs = cosines[np.triu_indices(inputs.count, k=1)]
    return float(ratio(torch.tensor(pairs.mean()), inputs.count))


def merge(inputs: MergeInputs) -> Tensor | BlockwiseMerge:
    """Base plus a share of the mean task vector: one for the tensor, or one for each row."""
    if inputs.flag("filter_wise") and len(inputs.shape) > 1:
        return _by_row(inputs)
    return weighted_sum(inputs, [share(inputs) / inputs.count] * inputs.count, "changes")


def _by_row(inputs: MergeInputs) -> Tensor:
    """Base plus ratio * mean task vector, with one ratio for each row."""
    vectors = [
        inputs.task_vector(index).reshape(inputs.shape[0], -1) for index in range(inputs.count)
    ]
    angles = [cosines(one, other) for one, other in combinations(vectors, 2)]
    shares = ratio(torch.stack(angles).mean(dim=0), inputs.count).float()
    mean = vectors[0].clone()
    for vector in vectors[1:]:
        mean.add_(vector)
    mean.div_(inputs.count).mul_(shares)
    return mean.view(inputs.shape).add_(inputs.tensors.values(None))


METHOD = Method(
    name="model_stock",
    title="Model stock",
    paper="Jang et al. 2024, Model stock, https://arxiv.org/abs/2403.19522",
    equation="merged = base + r * mean_i(parent_i - base),  r = k * c / (1 + (k - 1) * c),  "
    "c = mean cosine between the k task vectors, at least 0",
    merge=merge,
    options=(
        OptionSpec("filter_wise", False, "Measure the angle for each row instead of each tensor."),
    ),
    min_parents=2,
)
