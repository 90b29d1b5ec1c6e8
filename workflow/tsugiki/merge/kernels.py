"""Compiled loops over the elements of tensors, for the processor.

Each does in one pass what the torch formulas of `methods/` do in several, with the same float32
operations in the same order, so that the bits are equal (which the tests check for every method).

Tensors come flat, as the bits of their elements: uint32 for float32, uint16 for bfloat16 (the upper
half of a float32). Models are worked through in blocks that stay in the first-level cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from tsugiki.merge.masks import BITS, FACTOR_1, FACTOR_2, GAMMA, UNIT

Bits = NDArray[Any]
"""uint32 or uint16."""
Floats = NDArray[np.float32]

BLOCK = 1024
"""Elements worked on at a time: few enough that all intermediate results stay in the cache."""
LINE = 64
"""Bytes that come from memory at once."""
ALL, LARGE, RANDOM = 0, 1, 2
"""Which elements of a task vector are kept: all; those of a range of magnitudes; a random mask."""

_INFINITE = np.uint32(0x7F800000)
_GAMMA, _FACTOR_1, _FACTOR_2 = np.uint64(GAMMA), np.uint64(FACTOR_1), np.uint64(FACTOR_2)
_UNIT = np.float32(UNIT)
_ZERO, _ONE = np.float32(0), np.float32(1)
_TINY = np.float32(1e-8)

F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    """Compile a function when it is first called, and keep the machine code on disk."""
    compiled: F = njit(nogil=True, cache=True, error_model="numpy")(function)
    return compiled


def _reinterpret(source: Any, target: Any, code: Any) -> Callable[[Any], Any]:
    """A function that reads the bits of one type as another, at no cost."""

    def typed(_context: Any, _value: Any) -> Any:
        def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], code)

        return target(source), generate

    function: Callable[[Any], Any] = intrinsic(typed)
    return function


def _fetching() -> Callable[[Any, Any], None]:
    """A function that asks for an element of an array before it is needed."""

    def typed(_context: Any, array: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            place = context.make_array(array)(context, builder, arguments[0]).data
            number, byte = ir.IntType(32), ir.IntType(8).as_pointer()
            function = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
                "llvm.prefetch.p0",
            )
            address = builder.bitcast(builder.gep(place, [arguments[1]]), byte)
            # For reading, into the nearest cache, as data.
            builder.call(function, [address, *(ir.Constant(number, one) for one in (0, 3, 1))])
            return context.get_dummy_value()

        return types.void(array, index), generate

    function: Callable[[Any, Any], None] = intrinsic(typed)
    return function


_fetch = _fetching()
_float = _reinterpret(types.uint32, types.float32, ir.FloatType())
_bits = _reinterpret(types.float32, types.uint32, ir.IntType(32))


@_compiled
def weighted_sum(parents: tuple[Bits, ...], weights: Floats, out: Bits) -> bool:
    """Write sum of weight * parent to `out`; return whether every element is finite."""
    total = np.empty(BLOCK, np.float32)
    value = np.empty(BLOCK, np.float32)
    doubt = np.zeros(BLOCK, np.float32)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        for index in range(len(parents)):
            _load(_ahead(parents[index], start, stop), value)
            _accumulate(value, weights[index], total, index == 0)
        _store(total, out[start:stop], doubt)
    return _all_zero(doubt)


@_compiled
def add_task_vectors(  # noqa: C901, PLR0913, PLR0917 (compiled code takes plain arguments)
    base: Bits,
    parents: tuple[Bits, ...],
    factors: Floats,
    weights: Floats,
    rules: NDArray[np.int64],
    limits: Floats,
    ceilings: Floats,
    keys: NDArray[np.uint64],
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
        rules: `ALL`, `LARGE` or `RANDOM` for each parent.
        limits: Least magnitude kept, or the share that is kept at random.
        ceilings: Largest magnitude kept.
        keys: Keys of the random masks.
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
    doubt_result = np.zeros(BLOCK, np.float32)
    doubt_vectors = np.zeros(BLOCK, np.float32)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        _load(_ahead(base, start, stop), origin)
        for index in range(count):
            vector, source = vectors[index], _ahead(parents[index], start, stop)
            if rules[index] == LARGE:
                low, high = limits[index], ceilings[index]
                _subtract_large(source, origin, vector, doubt_vectors, low, high)
            else:
                _subtract(source, origin, vector, doubt_vectors)
            if rules[index] == RANDOM:
                _keep_random(vector, place + start, limits[index], keys[index], mask)
            _accumulate(vector, factors[index], total, index == 0)
        if consensus:
            _elect(total, signs)
            if normalize:
                weight_sum[:] = _ZERO
                for index in range(count):
                    _count_agreeing(vectors[index], signs, weights[index], total, weight_sum)
                _divide(total, weight_sum)
            else:
                for index in range(count):
                    _add_agreeing(vectors[index], signs, total)
        elif divisor != _ONE:
            total /= divisor
        for j in range(BLOCK):
            total[j] = total[j] * scale + origin[j]
        _store(total, out[start:stop], doubt_result)
    return _all_zero(doubt_result), _all_zero(doubt_vectors)


@_compiled
def inner_products(one: Bits, other: Bits) -> tuple[float, float, float]:
    """The inner products one·other, one·one and other·other, in float64, summed in a fixed order."""
    first = np.empty(BLOCK, np.float32)
    second = np.empty(BLOCK, np.float32)
    sums = np.zeros((3, BLOCK), np.float64)
    for start in range(0, one.size, BLOCK):
        stop = min(start + BLOCK, one.size)
        _load(_ahead(one, start, stop), first)
        _load(_ahead(other, start, stop), second)
        for j in range(BLOCK):
            x, y = np.float64(first[j]), np.float64(second[j])
            sums[0, j] += x * y
            sums[1, j] += x * x
            sums[2, j] += y * y
    total = np.zeros(3, np.float64)
    for j in range(BLOCK):
        total += sums[:, j]
    return total[0], total[1], total[2]


@_compiled
def all_finite(bits: Bits) -> bool:
    """Whether no element is NaN or infinite."""
    shift = np.uint32(32 - 8 * bits.itemsize)
    found = np.uint32(0)
    for j in range(bits.size):
        found |= np.uint32(((np.uint32(bits[j]) << shift) & _INFINITE) == _INFINITE)
    return bool(found == 0)


@_compiled
def magnitudes(base: Bits, parent: Bits, out: NDArray[np.uint32]) -> None:
    """Write the magnitudes of parent - base to `out`, as bits, which are in the same order."""
    if base.itemsize == 2:
        for j in range(out.size):
            out[j] = _bits(abs(_float(parent[j] << 16) - _float(base[j] << 16)))
    else:
        for j in range(out.size):
            out[j] = _bits(abs(_float(parent[j]) - _float(base[j])))


@_compiled
def magnitudes_between(
    base: Bits, parent: Bits, low: int, high: int, out: NDArray[np.uint32]
) -> tuple[int, int]:
    """Write those magnitudes that lie between two, inclusive, to the start of `out`.

    Returns:
        How many were written, and how many are larger. `out` needs room for `BLOCK` more.
    """
    block = np.empty(BLOCK, np.uint32)
    lowest, width, highest = np.uint32(low), np.uint32(high - low), np.uint32(high)
    larger = np.zeros(BLOCK, np.uint32)
    found = np.uint64(0)
    for start in range(0, base.size, BLOCK):
        stop = min(start + BLOCK, base.size)
        values = block[: stop - start]
        magnitudes(base[start:stop], parent[start:stop], values)
        for j in range(values.size):
            larger[j] += np.uint32(values[j] > highest)
        for j in range(values.size):  # without branches: what is not wanted is overwritten
            out[found] = values[j]
            found += np.uint64(np.uint32(values[j] - lowest) <= width)
    return int(found), int(larger.sum())


# The loops below work on a whole block of values, of which the last one's rest is unused: a fixed
# length is what makes the compiler use vector instructions throughout. `doubt` collects x - x, which
# is zero for every finite x and NaN for any other.


@_compiled
def _ahead(source: Bits, start: int, stop: int) -> Bits:
    """The elements of a block; those of the next one are asked for meanwhile.

    Models are read in turns, so that the processor by itself would wait at the start of each block.
    """
    for j in range(stop, min(stop + BLOCK, source.size), LINE // source.itemsize):
        _fetch(source, j)
    return source[start:stop]


@_compiled
def _load(source: Bits, values: Floats) -> None:
    if source.itemsize == 2:
        for j in range(source.size):
            values[j] = _float(source[j] << 16)
    else:
        for j in range(source.size):
            values[j] = _float(source[j])
    values[source.size :] = _ZERO


@_compiled
def _subtract(source: Bits, origin: Floats, vector: Floats, doubt: Floats) -> None:
    """Write source - origin to `vector`."""
    if source.itemsize == 2:
        for j in range(source.size):
            change = _float(source[j] << 16) - origin[j]
            vector[j] = change
            doubt[j] += change - change
    else:
        for j in range(source.size):
            change = _float(source[j]) - origin[j]
            vector[j] = change
            doubt[j] += change - change
    vector[source.size :] = _ZERO


@_compiled
def _subtract_large(
    source: Bits,
    origin: Floats,
    vector: Floats,
    doubt: Floats,
    limit: np.float32,
    ceiling: np.float32,
) -> None:
    """The same, of which only magnitudes from `limit` to `ceiling` are kept."""
    if source.itemsize == 2:
        for j in range(source.size):
            change = _float(source[j] << 16) - origin[j]
            size = abs(change)
            vector[j] = change if (size >= limit) & (size <= ceiling) else _ZERO
            doubt[j] += change - change
    else:
        for j in range(source.size):
            change = _float(source[j]) - origin[j]
            size = abs(change)
            vector[j] = change if (size >= limit) & (size <= ceiling) else _ZERO
            doubt[j] += change - change
    vector[source.size :] = _ZERO


@_compiled
def _store(values: Floats, out: Bits, doubt: Floats) -> None:
    """Write float32 values as they are, or rounded to the nearest bfloat16, ties to even."""
    if out.itemsize == 2:
        for j in range(out.size):
            bits = _bits(values[j])
            odd = (bits >> np.uint32(16)) & np.uint32(1)
            rounded = np.uint32(bits + np.uint32(0x7FFF) + odd)
            value = _float(rounded)
            doubt[j] += value - value
            out[j] = rounded >> np.uint32(16)
    else:
        for j in range(out.size):
            doubt[j] += values[j] - values[j]
            out[j] = _bits(values[j])


@_compiled
def _all_zero(values: Floats) -> bool:
    zero = True
    for j in range(values.size):
        zero &= values[j] == _ZERO
    return zero


@_compiled
def _accumulate(vector: Floats, factor: np.float32, total: Floats, first: bool) -> None:
    """Multiply a vector in place, and begin or continue the sum."""
    if first:
        for j in range(BLOCK):
            vector[j] *= factor
            total[j] = vector[j]
    else:
        for j in range(BLOCK):
            vector[j] *= factor
            total[j] += vector[j]


@_compiled
def _keep_random(
    vector: Floats, start: int, limit: np.float32, key: np.uint64, mask: NDArray[np.int32]
) -> None:
    """Keep element i where number i of SplitMix64 is below the limit (see `masks`).

    The generator's last step changes only lower bits than the 24 that are used, and is left out.
    """
    state = key + np.uint64(start) * _GAMMA
    steps = np.int64(limit / _UNIT)
    for j in range(BLOCK):
        state += _GAMMA
        x = (state ^ (state >> np.uint64(30))) * _FACTOR_1
        x = (x ^ (x >> np.uint64(27))) * _FACTOR_2
        # The sign of the difference, as all ones or all zeros.
        mask[j] = (np.int64(x >> np.uint64(64 - BITS)) - steps) >> np.int64(63)
    for j in range(BLOCK):
        vector[j] = _float(_bits(vector[j]) & np.uint32(mask[j]))


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
def _count_agreeing(
    vector: Floats, signs: Floats, weight: np.float32, total: Floats, weight_sum: Floats
) -> None:
    for j in range(BLOCK):
        agrees = vector[j] * signs[j] > _ZERO
        total[j] += vector[j] if agrees else _ZERO
        weight_sum[j] += weight if agrees else _ZERO


@_compiled
def _divide(total: Floats, divisor: Floats) -> None:
    for j in range(BLOCK):
        total[j] /= _ONE if abs(divisor[j]) < _TINY else divisor[j]
