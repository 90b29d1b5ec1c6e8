"""Compiled loops over the elements of tensors, for the processor.

Each does in one pass what the torch formulas of `methods/` do in several, with the same float32
operations in the same order, so that the bits are equal (which the tests check for every method).

Tensors come flat, as the bits of their elements: uint32 for float32, uint16 for bfloat16 (the upper
half of a float32). Models are worked through in blocks that stay in the first-level cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tsugiki.merge.masks import FACTOR_1, FACTOR_2, GAMMA, UNIT

Bits = NDArray[Any]
"""uint32 or uint16."""
Floats = NDArray[np.float32]

BLOCK = 2048
ALL, LARGE, RANDOM = 0, 1, 2
"""Which elements of a task vector are kept: all; those of at least some magnitude; a random mask."""

_INFINITE = np.uint32(0x7F800000)
_MAGNITUDE = np.uint32(0x7FFFFFFF)
_GAMMA, _FACTOR_1, _FACTOR_2 = np.uint64(GAMMA), np.uint64(FACTOR_1), np.uint64(FACTOR_2)
_UNIT = np.float32(UNIT)
_ZERO, _ONE = np.float32(0), np.float32(1)
_TINY = np.float32(1e-8)

_compiled = njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def weighted_sum(parents: tuple[Bits, ...], weights: Floats, out: Bits) -> int:
    """Write sum of weight * parent to `out`; return how many elements are not finite."""
    total = np.empty(BLOCK, np.float32)
    value = np.empty(BLOCK, np.float32)
    bad = 0
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        for index in range(len(parents)):
            _load(parents[index][start:stop], value)
            _scale(value, weights[index])
            _accumulate(value, total, index == 0)
        bad += _store(total, out[start:stop])
    return bad


@_compiled
def add_task_vectors(  # noqa: C901, PLR0913, PLR0917 (compiled code takes plain arguments)
    base: Bits,
    parents: tuple[Bits, ...],
    factors: Floats,
    weights: Floats,
    rules: NDArray[np.int64],
    limits: Floats,
    keys: NDArray[np.uint64],
    consensus: bool,
    normalize: bool,
    divisor: np.float32,
    scale: np.float32,
    out: Bits,
) -> int:
    """Write base + scale * (sum of thinned-out, weighted task vectors) / divisor to `out`.

    Args:
        base: The base's elements.
        parents: The parents' elements.
        factors: Factor of each parent's kept elements.
        weights: Weight of each parent, for `normalize` with `consensus`.
        rules: `ALL`, `LARGE` or `RANDOM` for each parent.
        limits: Least magnitude kept, or the number below which a uniform number is kept.
        keys: Keys of the random masks.
        consensus: Sum only what has the sign of the sum.
        normalize: With `consensus`, divide each element by the weights that take part in it.
        divisor: Without `consensus`, divide by this.
        scale: Factor of the merged task vector.
        out: Where the result goes.

    Returns:
        How many elements of the result are not finite.
    """
    count = len(parents)
    origin = np.empty(BLOCK, np.float32)
    total = np.empty(BLOCK, np.float32)
    signs = np.empty(BLOCK, np.float32)
    weight_sum = np.empty(BLOCK, np.float32)
    vectors = np.empty((count, BLOCK), np.float32)
    bad = 0
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        _load(base[start:stop], origin)
        for index in range(count):
            vector = vectors[index]
            _load(parents[index][start:stop], vector)
            _subtract(vector, origin)
            if rules[index] == LARGE:
                _keep_large(vector, limits[index])
            elif rules[index] == RANDOM:
                _keep_random(vector, start, limits[index], keys[index])
            _scale(vector, factors[index])
            _accumulate(vector, total, index == 0)
        if consensus:
            _elect(total, signs)
            weight_sum[:] = _ZERO
            for index in range(count):
                if normalize:
                    _count_agreeing(vectors[index], signs, weights[index], weight_sum)
                _add_agreeing(vectors[index], signs, total)
            if normalize:
                _divide(total, weight_sum)
        elif divisor != _ONE:
            for j in range(BLOCK):
                total[j] /= divisor
        if scale != _ONE:
            _scale(total, scale)
        _accumulate(origin, total, False)
        bad += _store(total, out[start:stop])
    return bad


@_compiled
def all_finite(bits: Bits) -> bool:
    """Whether no element is NaN or infinite."""
    shift = np.uint32(32 - 8 * bits.itemsize)
    found = np.uint32(0)
    for j in range(bits.size):
        found |= np.uint32(((np.uint32(bits[j]) << shift) & _INFINITE) == _INFINITE)
    return bool(found == 0)


@_compiled
def count_upper(base: Bits, parent: Bits, counts: NDArray[np.int64]) -> None:
    """Count task-vector magnitudes by the upper 16 of their 32 bits, into `counts` (65536)."""
    origin = np.empty(BLOCK, np.float32)
    vector = np.empty(BLOCK, np.float32)
    bits = vector.view(np.uint32)
    for start in range(0, base.size, BLOCK):
        stop = min(start + BLOCK, base.size)
        _magnitudes(base[start:stop], parent[start:stop], origin, vector)
        for j in range(stop - start):
            counts[bits[j] >> np.uint32(16)] += 1


@_compiled
def count_lower(base: Bits, parent: Bits, upper: int, counts: NDArray[np.int64]) -> None:
    """Count those with the given upper bits by their lower 16 bits, into `counts` (65536)."""
    origin = np.empty(BLOCK, np.float32)
    vector = np.empty(BLOCK, np.float32)
    bits = vector.view(np.uint32)
    wanted = np.uint32(upper)
    for start in range(0, base.size, BLOCK):
        stop = min(start + BLOCK, base.size)
        _magnitudes(base[start:stop], parent[start:stop], origin, vector)
        for j in range(stop - start):
            if bits[j] >> np.uint32(16) == wanted:
                counts[bits[j] & np.uint32(0xFFFF)] += 1


# The loops below work on a whole block of values, of which the last one's rest is unused: a fixed
# length is what makes the compiler use vector instructions throughout.


@_compiled
def _load(source: Bits, values: Floats) -> None:
    bits = values.view(np.uint32)
    shift = np.uint32(32 - 8 * source.itemsize)
    for j in range(source.size):
        bits[j] = np.uint32(source[j]) << shift
    bits[source.size :] = np.uint32(0)


@_compiled
def _store(values: Floats, out: Bits) -> int:
    """Write float32 values as they are, or rounded to the nearest bfloat16, ties to even."""
    bits = values.view(np.uint32)
    bad = np.uint32(0)
    if out.itemsize == 2:
        for j in range(out.size):
            odd = (bits[j] >> np.uint32(16)) & np.uint32(1)
            rounded = np.uint32(bits[j] + np.uint32(0x7FFF) + odd)
            bad += np.uint32((rounded & _INFINITE) == _INFINITE)
            out[j] = rounded >> np.uint32(16)
    else:
        for j in range(out.size):
            bad += np.uint32((bits[j] & _INFINITE) == _INFINITE)
            out[j] = bits[j]
    return int(bad)


@_compiled
def _magnitudes(base: Bits, parent: Bits, origin: Floats, vector: Floats) -> None:
    _load(base, origin)
    _load(parent, vector)
    _subtract(vector, origin)
    bits = vector.view(np.uint32)
    for j in range(BLOCK):
        bits[j] &= _MAGNITUDE


@_compiled
def _subtract(vector: Floats, origin: Floats) -> None:
    for j in range(BLOCK):
        vector[j] -= origin[j]


@_compiled
def _scale(vector: Floats, factor: np.float32) -> None:
    for j in range(BLOCK):
        vector[j] *= factor


@_compiled
def _accumulate(vector: Floats, total: Floats, first: bool) -> None:
    if first:
        for j in range(BLOCK):
            total[j] = vector[j]
    else:
        for j in range(BLOCK):
            total[j] += vector[j]


@_compiled
def _keep_large(vector: Floats, limit: np.float32) -> None:
    for j in range(BLOCK):
        vector[j] = vector[j] if abs(vector[j]) >= limit else _ZERO


@_compiled
def _keep_random(vector: Floats, start: int, limit: np.float32, key: np.uint64) -> None:
    """Keep element i where number i of SplitMix64 is below the limit (see `masks`)."""
    state = key + np.uint64(start + 1) * _GAMMA
    for j in range(BLOCK):
        x = state + np.uint64(j) * _GAMMA
        x = (x ^ (x >> np.uint64(30))) * _FACTOR_1
        x = (x ^ (x >> np.uint64(27))) * _FACTOR_2
        x ^= x >> np.uint64(31)
        uniform = np.float32(np.int32(x >> np.uint64(40))) * _UNIT
        vector[j] = vector[j] if uniform < limit else _ZERO


@_compiled
def _elect(total: Floats, signs: Floats) -> None:
    """Signs of the sums, positive for zero; `total` is emptied."""
    for j in range(BLOCK):
        signs[j] = _ONE if total[j] >= _ZERO else -_ONE
        total[j] = _ZERO


@_compiled
def _add_agreeing(vector: Floats, signs: Floats, total: Floats) -> None:
    for j in range(BLOCK):
        total[j] += vector[j] if vector[j] * signs[j] > _ZERO else _ZERO


@_compiled
def _count_agreeing(vector: Floats, signs: Floats, weight: np.float32, total: Floats) -> None:
    for j in range(BLOCK):
        total[j] += weight if vector[j] * signs[j] > _ZERO else _ZERO


@_compiled
def _divide(total: Floats, divisor: Floats) -> None:
    for j in range(BLOCK):
        total[j] /= _ONE if abs(divisor[j]) < _TINY else divisor[j]
