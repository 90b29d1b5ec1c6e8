"""Methods that add up models, or their changes, each multiplied by one number for the whole tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.kernels import sums
from tsugiki.merge.kernels.elements import Bits, addresses
from tsugiki.merge.method import MergeInputs
from tsugiki.merge.task_vectors import SparseTerm, add_blockwise


def weighted_sum(
    inputs: MergeInputs,
    factors: Sequence[float],
    of: Literal["parents", "base and parents", "changes"],
) -> BlockwiseMerge:
    """A sum of whole tensors, by the compiled loop.

    Args:
        inputs: The tensor that is merged.
        factors: What each summand is multiplied by, in order.
        of: What is added up: `changes` are task vectors, and are added to the base, but the parents
            themselves where there is no base.
    """
    if of == "changes" and inputs.has_base:
        return add_blockwise(inputs, [SparseTerm(factor) for factor in factors])
    parents = range(inputs.count)
    models = inputs.base_and_parents() if of == "base and parents" else inputs.elements(*parents)
    weights = np.array(factors, np.float32)

    def write(begin: int, end: int, out: Bits) -> bool:
        these = [model[begin:end] for model in models]
        finite = bool(sums.weighted_sum(these[0], addresses(these), weights, out))
        if not finite:  # even a weight of zero lets what is not finite through
            inputs.tensors.require_finite()
        return finite

    return BlockwiseMerge(inputs.shape, write)
