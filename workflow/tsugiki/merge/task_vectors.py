"""Methods that add task vectors to the base: sparsify, weight, agree on signs, sum, scale, add.

Ilharco et al. 2023 (https://arxiv.org/abs/2212.04089) add weighted task vectors to the base; Yadav
et al. 2023 (https://arxiv.org/abs/2306.01708) first elect a sign for every element and drop what
disagrees with it. Methods differ in what they keep of the task vectors beforehand: a method is a
function `terms` of the inputs, which gives one `SparseTerm` for each parent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.kernels import task_vectors as loops
from tsugiki.merge.kernels.elements import Bits, Floats, addresses
from tsugiki.merge.kernels.task_vectors import ALL, LARGE, PROBABLE, RANDOM
from tsugiki.merge.method import MergeInputs, OptionSpec, ParameterSpec, Ways

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


def bounds(
    inputs: MergeInputs, index: int, density: float, gamma: float = 0.0
) -> tuple[float, float]:
    """Smallest and largest magnitude of a parent's changes that are kept.

    The share `gamma` of the largest is dropped, and the share `density` that follows is kept, at least
    one element unless it is 0; less is dropped at the top if not enough would follow. As in the code of
    Yadav et al. 2023, all elements as large as the first or last one kept are kept too.
    """
    numel = inputs.numel
    if density <= 0.0 or not numel:
        return math.inf, math.inf
    count = max(1, math.floor(density * numel))
    above = min(math.floor(gamma * numel), numel - count)
    low = inputs.largest(index, above + count) if above + count < numel else 0.0
    high = inputs.largest(index, above + 1) if above else math.inf
    return low, high


def sparse_sum(
    terms: Callable[[MergeInputs], list[SparseTerm]],
    *,
    consensus: bool,
    row: Callable[[MergeInputs], int] = lambda _: 1,
) -> Ways:
    """Base plus the sum of the terms, by the compiled loop, and in torch for a device that holds the models.

    Both raise RecipeError where the weights are to be normalised and cancel.

    Args:
        terms: Gives each parent's term.
        consensus: Elect a sign for every element, that of the sum (zero counts as positive), and
            sum only what agrees with it (Yadav et al. 2023, section 3, steps 2 and 3).
        row: Elements that are sparsified together.
    """

    def on_device(inputs: MergeInputs) -> Tensor:
        divisor = inputs.weights_summing() if inputs.flag("normalize") else 1.0
        weighted = (_sparsified(inputs, index, term) for index, term in enumerate(terms(inputs)))
        if consensus:
            merged = _agreeing_sum(inputs, list(weighted))
        else:
            merged = _sum(weighted)
            if divisor != 1.0:
                merged.div_(
                    merged.new_tensor(divisor)
                )  # by a number, CUDA multiplies by its inverse
        if inputs.number("lambda") != 1.0:
            merged.mul_(inputs.number("lambda"))
        return merged.add_(inputs.tensors.values(None))

    def merge(inputs: MergeInputs) -> BlockwiseMerge:
        normalize = inputs.flag("normalize")
        return add_blockwise(
            inputs,
            terms(inputs),
            consensus=consensus,
            normalize=normalize,
            divisor=inputs.weights_summing() if normalize else 1.0,
            scale=inputs.number("lambda"),
            row=row(inputs),
        )

    return Ways(merge=merge, on_device=on_device)


def _sparsified(inputs: MergeInputs, index: int, term: SparseTerm) -> Tensor:
    """A parent's term: factor * kept elements of its task vector, zero elsewhere; float32."""
    vector = inputs.task_vector(index)
    if term.rule == LARGE:
        magnitude = vector.abs()
        kept = (magnitude >= term.limit) & (magnitude <= term.ceiling)
        vector = torch.where(kept, vector, 0.0)
    elif term.rule == RANDOM:
        vector = torch.where(inputs.uniforms(index) < term.limit, vector, 0.0)
    elif term.rule == PROBABLE:
        assert term.probabilities is not None
        probabilities = term.probabilities(vector)
        kept = inputs.uniforms(index) < probabilities
        vector = torch.where(kept, vector / probabilities, 0.0)
    return vector * term.factor


def _sum(tensors: Iterable[Tensor]) -> Tensor:
    iterator = iter(tensors)
    total = next(iterator).clone()
    for tensor in iterator:
        total.add_(tensor)
    return total


def _agreeing_sum(inputs: MergeInputs, weighted: list[Tensor]) -> Tensor:
    positive = _sum(weighted).ge_(0.0).bool()
    total = torch.zeros_like(weighted[0])
    weight_sum = torch.zeros_like(total) if inputs.flag("normalize") else None
    for weight, tensor in zip(inputs.per_parent["weight"], weighted, strict=True):
        agrees = torch.where(positive, tensor > 0.0, tensor < 0.0)
        total.add_(tensor * agrees)
        if weight_sum is not None:
            weight_sum.add_(agrees * weight)
    if weight_sum is not None:
        # An element that nobody takes part in, or whose weights cancel, is not divided.
        weight_sum.masked_fill_(weight_sum.abs() < 1e-8, 1.0)
        total.div_(weight_sum)
    return total


def add_blockwise(
    inputs: MergeInputs,
    terms: Sequence[SparseTerm],
    *,
    consensus: bool = False,
    normalize: bool = False,
    divisor: float = 1.0,
    scale: float = 1.0,
    row: int = 1,
) -> BlockwiseMerge:
    """Base plus the sum of the terms, by the compiled loop (see `kernels.task_vectors`)."""
    base, *parents = inputs.base_and_parents()
    factors = np.array([term.factor for term in terms], np.float32)
    weights = np.array(inputs.per_parent.get("weight", factors), np.float32)
    rules = (
        np.array([term.rule for term in terms], np.int64),
        np.array([term.limit for term in terms], np.float32),
        np.array([term.ceiling for term in terms], np.float32),
        np.array(inputs.mask_keys(), np.uint64),
    )
    sums = (consensus, normalize, np.float32(divisor), np.float32(scale))

    def merge(begin: int, end: int, out: Bits) -> bool:
        origin, these = base[begin:end], [parent[begin:end] for parent in parents]
        chances = np.empty((len(terms), 0), np.float32)
        if any(term.probabilities_of_rows for term in terms):
            chances = np.empty((len(terms), end - begin), np.float32)
            for place, (term, parent) in enumerate(zip(terms, these, strict=True)):
                if term.probabilities_of_rows is not None:
                    chances[place] = term.probabilities_of_rows(origin, parent)
        finite, finite_vectors = loops.add_task_vectors(
            origin, addresses(these), factors, weights, *rules, chances, *sums, begin, out
        )
        if not finite_vectors:
            inputs.tensors.require_finite()
        return bool(finite)

    return BlockwiseMerge(inputs.shape, merge, row)
