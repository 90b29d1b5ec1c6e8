"""Model stock: how far to trust the average, from the angle between task vectors (Jang et al. 2024)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from tsugiki.merge.combination import combine, combine_compiled, inner_products
from tsugiki.merge.fused import Fused
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


def share(operands: Operands) -> float:
    """Share of the average for the whole tensor."""
    products = inner_products(operands)
    lengths = np.sqrt(np.outer(products.diagonal(), products.diagonal()))
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0.0)
    pairs = cosines[np.triu_indices(operands.count, k=1)]
    return float(ratio(torch.tensor(pairs.mean()), operands.count))


def merge(operands: Operands) -> Tensor:
    """Base plus ratio * mean task vector, with one ratio for the tensor, or one for each row."""
    if not _by_row(operands):
        return combine(operands, _factors(operands))
    vectors = [
        operands.source.task_vector(index).reshape(operands.shape[0], -1)
        for index in range(operands.count)
    ]
    angles = [cosines(one, other) for one, other in combinations(vectors, 2)]
    shares = ratio(torch.stack(angles).mean(dim=0), operands.count).float()
    mean = vectors[0].clone()
    for vector in vectors[1:]:
        mean.add_(vector)
    mean.div_(operands.count).mul_(shares)
    return mean.view(operands.shape).add_(operands.source.base())


def merge_compiled(operands: Operands, dtype: torch.dtype) -> Fused | None:
    """The same in two passes, if there is one ratio for the tensor."""
    if _by_row(operands):
        return None
    return combine_compiled(operands, _factors(operands), dtype)


def _factors(operands: Operands) -> list[float]:
    return [share(operands) / operands.count] * operands.count


def _by_row(operands: Operands) -> bool:
    return operands.flag("filter_wise") and len(operands.shape) > 1


METHOD = Method(
    name="model_stock",
    title="Model stock",
    paper="Jang et al. 2024, Model stock, https://arxiv.org/abs/2403.19522",
    equation="merged = base + r * mean_i(parent_i - base),  r = k * c / (1 + (k - 1) * c),  "
    "c = mean cosine between the k task vectors, at least 0",
    merge=merge,
    compiled=merge_compiled,
    options=(
        OptionSpec("filter_wise", False, "Measure the angle for each row instead of each tensor."),
    ),
    min_parents=2,
)
