"""Adding sparsified task vectors to a base: changes, random masks, election of signs, sum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge import masks
from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import (
    BLOCK,
    ONE,
    ZERO,
    Addresses,
    Bits,
    Floats,
    ahead,
    at,
    bits_of,
    block,
    float_of,
    load,
    not_finite,
    store_moved,
)

ALL, LARGE, RANDOM, PROBABLE = 0, 1, 2, 3
"""Which elements of a task vector are kept: all; those of a range of magnitudes; each with the same
probability; each with its own probability, by which it is divided."""
TINY = np.float32(1e-8)
GAMMA, FACTOR_1, FACTOR_2 = (
    np.uint64(masks.GAMMA),
    np.uint64(masks.FACTOR_1),
    np.uint64(masks.FACTOR_2),
)
BITS = masks.BITS
UNIT = np.float32(masks.UNIT)


@compiled
def add(value: np.float32, vector: Floats, total: Floats, j: int, first: bool) -> None:
    """Write element `j` of a vector, and begin or continue the sum there."""
    vector[j] = value
    total[j] = value if first else total[j] + value


@compiled
def add_all(
    source: Bits, origin: Floats, factor: np.float32, vector: Floats, total: Floats, first: bool
) -> np.uint32:
    """Write factor * (source - origin) to `vector`, and begin or continue the sum of these."""
    bad = np.uint32(0)
    for j in range(source.size):
        change = at(source, j) - origin[j]
        bad = np.uint32(bad | not_finite(change))
        add(change * factor, vector, total, j, first)
    return bad


@compiled
def changes(
    base: Bits,
    parents: Addresses,
    start: int,
    stop: int,
    origin: Floats,
    vectors: Floats,
    total: Floats,
) -> np.uint32:
    """Write the base, each parent's change and the sum of the changes."""
    load(ahead(base, start, stop), origin)
    bad = np.uint32(0)
    for index in range(parents.size):
        source = block(base, parents[index], start, stop)
        more = add_all(source, origin, ONE, vectors[index], total, index == 0)
        bad = np.uint32(bad | more)
    return bad


@compiled
def _steps(state: np.uint64) -> np.uint64:
    """A number of SplitMix64, in steps of `UNIT`.

    The generator's last step changes only lower bits than the 24 that are used, and is left out.
    """
    x = (state ^ (state >> np.uint64(30))) * FACTOR_1
    x = (x ^ (x >> np.uint64(27))) * FACTOR_2
    return x >> np.uint64(64 - BITS)


@compiled
def draw_numbers(start: int, key: np.uint64, numbers: Floats) -> None:
    """The numbers of SplitMix64 themselves, from 0 to 1 (see `masks`)."""
    state = key + np.uint64(start) * GAMMA
    for j in range(BLOCK):
        state += GAMMA
        numbers[j] = np.float32(np.int32(_steps(state))) * UNIT


@compiled
def draw(start: int, limit: np.float32, key: np.uint64, mask: NDArray[np.int32]) -> None:
    """All ones where number i of SplitMix64 is below the limit (see `masks`), otherwise zero."""
    state = key + np.uint64(start) * GAMMA
    steps = np.int64(limit / UNIT)
    for j in range(BLOCK):
        state += GAMMA
        # The sign of the difference, as all ones or all zeros.
        mask[j] = (np.int64(_steps(state)) - steps) >> np.int64(63)


@compiled
def elect(total: Floats, signs: Floats) -> None:
    """Write the signs of the sums, positive for zero; `total` is emptied."""
    for j in range(BLOCK):
        signs[j] = ONE if total[j] >= ZERO else -ONE
        total[j] = ZERO


@compiled
def _add_agreeing(vector: Floats, signs: Floats, total: Floats) -> None:
    for j in range(BLOCK):
        total[j] += vector[j] if vector[j] * signs[j] > ZERO else ZERO


@compiled
def _count_agreeing(
    vector: Floats, signs: Floats, weight: np.float32, total: Floats, weight_sum: Floats
) -> None:
    for j in range(BLOCK):
        agrees = vector[j] * signs[j] > ZERO
        total[j] += vector[j] if agrees else ZERO
        weight_sum[j] += weight if agrees else ZERO


@compiled
def sum_agreeing(
    vectors: Floats,
    weights: Floats,
    normalize: bool,
    signs: Floats,
    weight_sum: Floats,
    total: Floats,
) -> None:
    """Replace the sum of the vectors by that of what agrees with its sign, element by element.

    With `normalize`, it is divided by the weights of what agrees. `signs` and `weight_sum` are room
    to work in.
    """
    elect(total, signs)
    if normalize:
        weight_sum[:] = ZERO
        for index in range(vectors.shape[0]):
            _count_agreeing(vectors[index], signs, weights[index], total, weight_sum)
        for j in range(BLOCK):
            total[j] /= ONE if abs(weight_sum[j]) < TINY else weight_sum[j]
    else:
        for index in range(vectors.shape[0]):
            _add_agreeing(vectors[index], signs, total)


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
    """Add source - origin, of which those elements are kept whose mask is all ones."""
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
    """Add source - origin, divided by a probability, of those elements whose number is below it."""
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
    parents: Addresses,
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
    """Write base + scale * (sum of sparsified, weighted task vectors) / divisor to `out`.

    Args:
        base: The base's elements.
        parents: The parents.
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
    count = parents.size
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
            vector, source = vectors[index], block(base, parents[index], start, stop)
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
