"""Methods that add task vectors to the base: sparsify, weight, agree on signs, sum, scale, add.

Ilharco et al. 2023 (https://arxiv.org/abs/2212.04089) add weighted task vectors to the base; Yadav
et al. 2023 (https://arxiv.org/abs/2306.01708) first elect a sign for every element and drop what
disagrees with it. Methods differ in what they keep of the task vectors beforehand: a method is a
function `terms` of the inputs, which gives one `SparseTerm` for each parent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from tsugiki.merge.blockwise import BlockwiseMerge, base_and_parents
from tsugiki.merge.inputs import MergeInputs
from tsugiki.merge.kernels import task_vectors as loops
from tsugiki.merge.kernels.elements import Bits, addresses
from tsugiki.merge.masks import mask_key
from tsugiki.merge.method import OptionSpec, ParameterSpec
from tsugiki.merge.sparsify import SparseTerm, sparsified

WEIGHT = ParameterSpec(
    "weight", True, -10.0, 10.0, 1.0, (0.0, 1.5), "Factor of the parent's task vector."
)
DENSITY = ParameterSpec(
    "density", True, 0.0, 1.0, 1.0, (0.1, 1.0), "Share of the parent's task vector that is kept."
)
LAMBDA = OptionSpec("lambda", 1.0, "Factor of the merged task vector.", -10.0, 10.0)

Terms = Callable[[MergeInputs], list[SparseTerm]]


def normalize(default: bool) -> OptionSpec:
    """The option `normalize`."""
    return OptionSpec(
        "normalize", default, "Divide by the sum of the weights that take part in each element."
    )


def add_terms(inputs: MergeInputs, terms: Terms, *, consensus: bool) -> Tensor:
    """Base plus the sum of the terms, by a formula in torch, on the device of the inputs; float32.

    Args:
        inputs: The tensor that is merged.
        terms: Gives each parent's term.
        consensus: Elect a sign for every element, that of the sum (zero counts as positive), and
            sum only what agrees with it (Yadav et al. 2023, section 3, steps 2 and 3).

    Raises:
        RecipeError: the weights are to be normalised and cancel.
    """
    divisor = inputs.weights_summing() if inputs.flag("normalize") else 1.0
    weighted = (sparsified(inputs, index, term) for index, term in enumerate(terms(inputs)))
    if consensus:
        merged = _agreeing_sum(inputs, list(weighted))
    else:
        merged = _sum(weighted)
        if divisor != 1.0:
            merged.div_(merged.new_tensor(divisor))  # by a number, CUDA multiplies by its inverse
    if inputs.number("lambda") != 1.0:
        merged.mul_(inputs.number("lambda"))
    return merged.add_(inputs.tensors.base())


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


def add_terms_blockwise(
    inputs: MergeInputs, dtype: torch.dtype, terms: Terms, *, consensus: bool, row: int = 1
) -> BlockwiseMerge:
    """Base plus the sum of the terms, by the compiled loop, in a number format.

    Args:
        inputs: The tensor that is merged.
        dtype: Number format of the result.
        terms: Gives each parent's term.
        consensus: Elect a sign for every element, and sum only what agrees with it.
        row: Elements that are sparsified together.

    Raises:
        RecipeError: the weights are to be normalised and cancel.
    """
    normalize = inputs.flag("normalize")
    return _blockwise(
        inputs,
        terms(inputs),
        dtype,
        consensus=consensus,
        normalize=normalize,
        divisor=inputs.weights_summing() if normalize else 1.0,
        scale=inputs.number("lambda"),
        row=row,
    )


def add_scaled(inputs: MergeInputs, factors: Sequence[float], dtype: torch.dtype) -> BlockwiseMerge:
    """Base plus the sum of factor * task vector, by the compiled loop, in a number format."""
    return _blockwise(inputs, [SparseTerm(factor) for factor in factors], dtype)


def _blockwise(
    inputs: MergeInputs,
    terms: Sequence[SparseTerm],
    dtype: torch.dtype,
    *,
    consensus: bool = False,
    normalize: bool = False,
    divisor: float = 1.0,
    scale: float = 1.0,
    row: int = 1,
) -> BlockwiseMerge:
    base, *parents = base_and_parents(inputs)
    keys = [mask_key(inputs.mask_seed, inputs.name, digest) for digest in inputs.digests]
    factors = np.array([term.factor for term in terms], np.float32)
    weights = np.array(inputs.per_parent.get("weight", factors), np.float32)
    rules = (
        np.array([term.rule for term in terms], np.int64),
        np.array([term.limit for term in terms], np.float32),
        np.array([term.ceiling for term in terms], np.float32),
        np.array(keys, np.uint64),
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

    return BlockwiseMerge(inputs.shape, dtype, merge, row)
