"""SCE: select by variance, calculate weights, erase minority signs (Wan et al. 2024)."""

from __future__ import annotations

import math

import numpy as np

from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.kernels.elements import Bits, addresses
from tsugiki.merge.kernels.variance import erase_minority, squares
from tsugiki.merge.method import MergeInputs, Method, ParameterSpec
from tsugiki.merge.selection import count_positive, nth_largest, variances_of


def _selected(inputs: MergeInputs) -> tuple[float, list[float]]:
    """The variance between parents from which on an element is selected, and the parents' shares.

    `select_topk` of the elements that vary at all are selected, and all that vary as much as the
    last one of these; if it is 1, all elements, even where the parents agree exactly. If none is, the
    variance is NaN. Shares are those of the sum of squares of what is selected; equal if that is zero.
    """
    base, *parents = inputs.base_and_parents()
    share, least = inputs.shared["select_topk"], 0.0
    if share < 1.0:
        ranked = variances_of(base, parents)
        count = math.floor(share * count_positive(ranked))
        least = nth_largest(ranked, count) if count else math.nan
    sums = np.empty(len(parents))
    squares(base, addresses(parents), np.float32(least), sums)
    total = float(sums.sum())
    return least, [float(part) / total if total else 1.0 / len(parents) for part in sums]


def merge(inputs: MergeInputs) -> BlockwiseMerge:
    """Base plus the average of the selected changes that agree in sign, by their squares."""
    base, *parents = inputs.base_and_parents()
    least, shares = _selected(inputs)
    threshold, weights = np.float32(least), np.array(shares, np.float32)

    def write(begin: int, end: int, out: Bits) -> bool:
        these = addresses([parent[begin:end] for parent in parents])
        finite, finite_vectors = erase_minority(base[begin:end], these, threshold, weights, out)
        if not finite_vectors:
            inputs.tensors.require_finite()
        return bool(finite)

    return BlockwiseMerge(inputs.shape, write)


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
