"""Model stock: how far to trust the average, from the angle between task vectors (Jang et al. 2024)."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from tsugiki.merge.method import Method, OptionSpec
from tsugiki.merge.operands import Operands
from tsugiki.merge.spherical import cosines


def ratio(cosine: Tensor, count: int) -> Tensor:
    """Share of the average (equation 2 of the paper), between 0 and 1.

    A mean angle beyond a right angle says that the parents have nothing in common, and gives the
    base; the formula itself would leave the base on the other side, or divide by zero.
    """
    cosine = cosine.clamp(0.0, 1.0)
    return count * cosine / (1.0 + (count - 1) * cosine)


def merge(operands: Operands) -> Tensor:
    """Base plus ratio * mean task vector, with one ratio for the tensor, or one for each row."""
    by_row = operands.flag("filter_wise") and len(operands.shape) > 1
    shape = (operands.shape[0], -1) if by_row else (-1,)
    vectors = [operands.source.task_vector(index).reshape(shape) for index in range(operands.count)]
    angles = [cosines(one, other) for one, other in combinations(vectors, 2)]
    share = ratio(torch.stack(angles).mean(dim=0), operands.count)
    mean = vectors[0].clone()
    for vector in vectors[1:]:
        mean.add_(vector)
    mean.div_(operands.count).mul_(share.float())
    return mean.view(operands.shape).add_(operands.source.base())


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
