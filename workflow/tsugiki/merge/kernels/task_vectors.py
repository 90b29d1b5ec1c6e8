"""Adding thinned-out task vectors to a base."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.kernels.changes import add, add_all
from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.consensus import sum_agreeing
from tsugiki.merge.kernels.elements import (
    BLOCK,
    ONE,
    ZERO,
    Bits,
    Floats,
    ahead,
    at,
    load,
    not_finite,
    store_moved,
)
from tsugiki.merge.kernels.instructions import bits_of, float_of
from tsugiki.merge.kernels.random_numbers import draw, draw_numbers

ALL, LARGE, RANDOM, PROBABLE = 0, 1, 2, 3
"""Which elements of a task vector are kept: all; those of a range of magnitudes; each with the same
probability; each with its own probability, by which it is divided."""


@compiled
def _add_large(
    source: Bits,
    origin: Floats,
    limit: np.float32,
    ceiling: np.float32,
    factor: np.float32,
    vector: Floats,
    total: Floats,
    first: bool,
) -> np.uint32:
    """Add source - origin, of which only magnitudes from `limit` to `ceiling` are kept."""
    bad = np.uint32(0)
    for j in range(source.size):
        change = at(source, j) - origin[j]
        bad = np.uint32(bad | not_finite(change))
        size = abs(change)
        value = change if (size >= limit) & (size <= ceiling) else ZERO
        add(value * factor, vector, total, j, first)
    return bad


@compiled
def _add_masked(
    source: Bits,
    origin: Floats,
    mask: NDArray[np.int32],
    factor: np.float32,
    vector: Floats,
    total: Floats,
    first: bool,
) -> np.uint32:
    """The same for those elements whose mask is all ones."""
    bad = np.uint32(0)
    for j in range(source.size):
        change = at(source, j) - origin[j]
        bad = np.uint32(bad | not_finite(change))
        value = float_of(bits_of(change) & np.uint32(mask[j]))
        add(value * factor, vector, total, j, first)
    return bad


@compiled
def _add_probable(
    source: Bits,
    origin: Floats,
    numbers: Floats,
    chances: Floats,
    factor: np.float32,
    vector: Floats,
    total: Floats,
    first: bool,
) -> np.uint32:
    """The same for those elements whose number is below their probability, divided by it."""
    bad = np.uint32(0)
    for j in range(source.size):
        change = at(source, j) - origin[j]
        bad = np.uint32(bad | not_finite(change))
        chance = chances[j]
        value = change / chance if numbers[j] < chance else ZERO
        add(value * factor, vector, total, j, first)
    return bad


@compiled
def add_task_vectors(  # noqa: PLR0913, PLR0917 (compiled code takes plain arguments)
    base: Bits,
    parents: tuple[Bits, ...],
    factors: Floats,
    weights: Floats,
    rules: NDArray[np.int64],
    limits: Floats,
    ceilings: Floats,
    keys: NDArray[np.uint64],
    probabilities: Floats,
    consensus: bool,
    normalize: bool,
    divisor: np.float32,
    scale: np.float32,
    place: int,
    out: Bits,
) -> tuple[bool, bool]:
    """Write base + scale * (sum of thinned-out, weighted task vectors) / divisor to `out`.

    Args:
        base: The base's elements.
        parents: The parents' elements.
        factors: Factor of each parent's kept elements.
        weights: Weight of each parent, for `normalize` with `consensus`.
        rules: `ALL`, `LARGE`, `RANDOM` or `PROBABLE` for each parent.
        limits: Least magnitude kept, or the share that is kept at random.
        ceilings: Largest magnitude kept.
        keys: Keys of the random masks.
        probabilities: Of each element, shape (parents, elements); (parents, 0) if no rule asks.
        consensus: Sum only what has the sign of the sum.
        normalize: With `consensus`, divide each element by the weights that take part in it.
        divisor: Without `consensus`, divide by this.
        scale: Factor of the merged task vector.
        place: Which element of the whole tensor the first one is, for random masks.
        out: Where the result goes.

    Returns:
        Whether every element of the result, and every one of the task vectors, is finite.
    """
    count = len(parents)
    origin = np.empty(BLOCK, np.float32)
    total = np.empty(BLOCK, np.float32)
    signs = np.empty(BLOCK, np.float32)
    weight_sum = np.empty(BLOCK, np.float32)
    vectors = np.empty((count, BLOCK), np.float32)
    mask = np.empty(BLOCK, np.int32)
    numbers = np.empty(BLOCK, np.float32)
    bad_result, bad_vectors = np.uint32(0), np.uint32(0)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        load(ahead(base, start, stop), origin)
        for index in range(count):
            vector, source = vectors[index], ahead(parents[index], start, stop)
            factor, limit, first = factors[index], limits[index], index == 0
            if rules[index] == ALL:
                bad = add_all(source, origin, factor, vector, total, first)
            elif rules[index] == LARGE:
                ceiling = ceilings[index]
                bad = _add_large(source, origin, limit, ceiling, factor, vector, total, first)
            elif rules[index] == PROBABLE:
                draw_numbers(place + start, keys[index], numbers)
                chances = probabilities[index, start:stop]
                bad = _add_probable(source, origin, numbers, chances, factor, vector, total, first)
            else:
                draw(place + start, limit, keys[index], mask)
                bad = _add_masked(source, origin, mask, factor, vector, total, first)
            bad_vectors = np.uint32(bad_vectors | bad)
        if consensus:
            sum_agreeing(vectors, weights, normalize, signs, weight_sum, total)
        elif divisor != ONE:
            total /= divisor
        bad_result = np.uint32(bad_result | store_moved(origin, total, scale, out[start:stop]))
    return bool(bad_result == 0), bool(bad_vectors == 0)
