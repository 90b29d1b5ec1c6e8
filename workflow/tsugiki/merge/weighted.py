"""Methods that add up models, or their changes, each multiplied by one number for the whole tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.kernels import sums
from tsugiki.merge.kernels.elements import Bits, addresses
from tsugiki.merge.method import MergeInputs, Ways
from tsugiki.merge.task_vectors import SparseTerm, add_blockwise


def weighted_sum(
    factors: Callable[[MergeInputs], Sequence[float] | None],
    of: Literal["parents", "base and parents", "changes"],
    *,
    otherwise: Callable[[MergeInputs], Tensor] | None = None,
    elementwise: bool = False,
) -> Ways:
    """A weighted sum by a formula in torch, on the device of the inputs, and by the compiled loop.

    Args:
        factors: What each summand is multiplied by, in order; None where `otherwise` is to merge.
        of: What is added up: `changes` are task vectors, and are added to the base, but the parents
            themselves where there is no base.
        otherwise: A formula for what has no such factors.
        elementwise: See `Method`.
    """

    def merge(inputs: MergeInputs) -> Tensor:
        numbers = factors(inputs)
        if numbers is None:
            assert otherwise is not None, "it is there where there may be no factors"
            return otherwise(inputs)
        changes = of == "changes" and inputs.has_base
        summands = (
            map(inputs.task_vector, range(inputs.count))
            if changes
            else map(inputs.tensors.values, _models(inputs))
        )
        total = next(summands) * numbers[0]
        for summand, factor in zip(summands, numbers[1:], strict=True):
            total.add_(summand * factor)
        return total.add_(inputs.tensors.values(None)) if changes else total

    def blockwise(inputs: MergeInputs, dtype: torch.dtype) -> BlockwiseMerge | None:
        numbers = factors(inputs)
        if numbers is None:
            return None
        if of == "changes" and inputs.has_base:
            return add_blockwise(inputs, dtype, [SparseTerm(factor) for factor in numbers])
        models = inputs.elements(*_models(inputs))
        weights = np.array(numbers, np.float32)

        def write(begin: int, end: int, out: Bits) -> bool:
            these = [model[begin:end] for model in models]
            finite = bool(sums.weighted_sum(these[0], addresses(these), weights, out))
            if not finite:  # even a weight of zero lets what is not finite through
                inputs.tensors.require_finite()
            return finite

        return BlockwiseMerge(inputs.shape, dtype, write)

    def _models(inputs: MergeInputs) -> list[int | None]:
        return [*([None] if of == "base and parents" else []), *range(inputs.count)]

    return Ways(merge=merge, blockwise=blockwise, elementwise=elementwise)
