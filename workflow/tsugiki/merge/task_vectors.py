"""The frame that task-vector methods share: weight, agree on signs, sum, scale, add to the base.

Ilharco et al. 2023 (https://arxiv.org/abs/2212.04089) add weighted task vectors to the base; Yadav
et al. 2023 (https://arxiv.org/abs/2306.01708) first elect a sign for every element and drop what
disagrees with it. Methods differ in how they thin out the task vectors beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from tsugiki.merge.method import OptionSpec, ParameterSpec
from tsugiki.merge.operands import Operands

WEIGHT = ParameterSpec(
    "weight", True, -10.0, 10.0, 1.0, (0.0, 1.5), "Factor of the parent's task vector."
)
DENSITY = ParameterSpec(
    "density", True, 0.0, 1.0, 1.0, (0.1, 1.0), "Share of the parent's task vector that is kept."
)
LAMBDA = OptionSpec("lambda", 1.0, "Factor of the merged task vector.", -10.0, 10.0)


def normalize(default: bool) -> OptionSpec:
    """The option `normalize`."""
    return OptionSpec(
        "normalize", default, "Divide by the sum of the weights that take part in each element."
    )


def add_task_vectors(operands: Operands, weighted: Iterable[Tensor], *, consensus: bool) -> Tensor:
    """Base plus the sum of the weighted task vectors.

    Args:
        operands: The tensor that is merged.
        weighted: For every parent, its thinned-out task vector times its weight; float32. The
            tensors are not kept, and not changed.
        consensus: Elect a sign for every element, that of the sum (zero counts as positive), and
            sum only what agrees with it (Yadav et al. 2023, section 3, steps 2 and 3).

    Raises:
        RecipeError: the weights are to be normalised and cancel.
    """
    divisor = operands.weights_summing() if operands.flag("normalize") else 1.0
    if consensus:
        merged = _agreeing_sum(operands, list(weighted))
    else:
        merged = _sum(weighted)
        if divisor != 1.0:
            merged.div_(divisor)
    if operands.number("lambda") != 1.0:
        merged.mul_(operands.number("lambda"))
    return merged.add_(operands.source.base())


def _sum(tensors: Iterable[Tensor]) -> Tensor:
    iterator = iter(tensors)
    total = next(iterator).clone()
    for tensor in iterator:
        total.add_(tensor)
    return total


def _agreeing_sum(operands: Operands, weighted: list[Tensor]) -> Tensor:
    positive = _sum(weighted).ge_(0.0).bool()
    total = torch.zeros_like(weighted[0])
    weight_sum = torch.zeros_like(total) if operands.flag("normalize") else None
    for weight, tensor in zip(operands.per_parent["weight"], weighted, strict=True):
        agrees = torch.where(positive, tensor > 0.0, tensor < 0.0)
        total.add_(tensor * agrees)
        if weight_sum is not None:
            weight_sum.add_(agrees * weight)
    if weight_sum is not None:
        # An element that nobody takes part in, or whose weights cancel, is not divided.
        weight_sum.masked_fill_(weight_sum.abs() < 1e-8, 1.0)
        total.div_(weight_sum)
    return total
