"""SCE: select by variance, calculate weights, erase minority signs (Wan et al. 2024)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tsugiki.merge.method import Method, ParameterSpec
from tsugiki.merge.operands import Operands


def selected(vectors: Tensor, share: float) -> Tensor:
    """Where the parents' changes vary most: the given share of the elements that vary at all.

    All elements that vary as much as the last one selected are selected too.

    Args:
        vectors: Task vectors, float32, shape (parents, ...).
        share: From 0 (none) to 1 (all, even where the parents agree exactly).

    Returns:
        bool, shape (...).
    """
    if share >= 1.0:
        return torch.ones_like(vectors[0], dtype=torch.bool)
    variance = vectors.var(dim=0, correction=0).flatten()
    count = math.floor(share * int(variance.count_nonzero()))
    if count == 0:
        return torch.zeros_like(vectors[0], dtype=torch.bool)
    least = variance.kthvalue(variance.numel() - count + 1).values
    return (variance >= least).view(vectors.shape[1:])


def shares(vectors: Tensor) -> Tensor:
    """Each parent's share of the sum of squares; equal shares if nothing has changed.

    Args:
        vectors: Task vectors, float32, shape (parents, ...).

    Returns:
        float32, shape (parents,).
    """
    squares = vectors.flatten(1).square().sum(dim=1, dtype=torch.float64)
    total = squares.sum()
    if float(total) == 0.0:
        return torch.full((len(vectors),), 1.0 / len(vectors))
    return (squares / total).float()


def merge(operands: Operands) -> Tensor:
    """Base plus the average of the selected changes that agree in sign, by their squares."""
    vectors = torch.stack([operands.source.task_vector(index) for index in range(operands.count)])
    vectors.mul_(selected(vectors, operands.shared["select_topk"]))
    signs = torch.where(vectors.sum(dim=0) >= 0.0, 1.0, -1.0)
    total = torch.zeros_like(signs)
    weight_sum = torch.zeros_like(signs)
    for vector, weight in zip(vectors, shares(vectors).tolist(), strict=True):
        agrees = vector * signs > 0.0
        total.add_(vector * agrees * weight)
        weight_sum.add_(agrees * weight)
    weight_sum.masked_fill_(weight_sum == 0.0, 1.0)
    return total.div_(weight_sum).add_(operands.source.base())


METHOD = Method(
    name="sce",
    title="SCE (select, calculate, erase)",
    paper="Wan et al. 2024, FuseChat, https://arxiv.org/abs/2408.07990",
    equation="merged = base + sum_i a_i * w_i * t_i / sum_i a_i * w_i,  "
    "t_i = s * (parent_i - base),  s selects the share select_topk with the largest variance "
    "between parents,  w_i = |t_i|^2 / sum_j |t_j|^2,  a_i = [sign(t_i) = sign(sum_j t_j)]",
    merge=merge,
    parameters=(
        ParameterSpec(
            "select_topk",
            False,
            0.0,
            1.0,
            1.0,
            (0.1, 1.0),
            "Share of the elements, those that vary most between parents, that is merged.",
        ),
    ),
    min_parents=2,
)
