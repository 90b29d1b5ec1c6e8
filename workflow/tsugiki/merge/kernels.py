"""Compiled loops over the elements of tensors, for the processor.

Each does in one pass what the torch formulas of `methods/` do in several, with the same float32
operations in the same order, so that the bits are equal (which the tests check for every method).

Tensors come flat, as the bits of their elements: uint32 for float32, uint16 for bfloat16 (the upper
half of a float32). Models are worked through in blocks that stay in the first-level cache.

All loops are in one file, because numba's store of machine code on disk notices a change of the file
that a function is in, and not of others that it calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import binding, ir
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

LANES = 16
"""Elements that `_pack_lanes` works on at a time."""
PACKS = bool(binding.get_host_cpu_features().get("avx512f"))
"""Whether the processor has an instruction for `_pack_lanes`, which is slow otherwise."""

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


def _packing() -> Callable[..., Any]:
    """A function that writes those of some elements that lie in a range side by side."""

    def typed(
        _context: Any, source: Any, _index: Any, _low: Any, _width: Any, target: Any, _place: Any
    ) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            values, index, low, width, out, place = arguments
            number = ir.IntType(32)
            vector = ir.VectorType(number, LANES)
            flags = ir.VectorType(ir.IntType(1), LANES)
            nothing, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0] * LANES)

            def address(array: Any, kind: Any, element: Any) -> Any:
                start = context.make_array(kind)(context, builder, array).data
                return builder.bitcast(builder.gep(start, [element]), vector.as_pointer())

            def repeated(value: Any) -> Any:
                one = builder.insert_element(nothing, value, ir.Constant(number, 0))
                return builder.shuffle_vector(one, nothing, zeros)

            loaded = builder.load(address(values, source, index), align=4)
            above = builder.sub(loaded, repeated(low))
            wanted = builder.icmp_unsigned("<=", above, repeated(width))
            compress = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(vector, [vector, flags, vector]),
                f"llvm.experimental.vector.compress.v{LANES}i32",
            )
            packed = builder.call(compress, [loaded, wanted, zeros])
            builder.store(packed, address(out, target, place), align=4)
            count = builder.ctpop(builder.bitcast(wanted, ir.IntType(LANES)))
            return builder.add(place, builder.zext(count, ir.IntType(64)))

        number, counter = types.uint32, types.uint64
        return counter(source, counter, number, number, target, counter), generate

    function: Callable[..., Any] = intrinsic(typed)
    return function


_fetch = _fetching()
_pack_some = _packing()
_float = _reinterpret(types.uint32, types.float32, ir.FloatType())
_bits = _reinterpret(types.float32, types.uint32, ir.IntType(32))


@_compiled
def weighted_sum(parents: tuple[Bits, ...], weights: Floats, out: Bits) -> bool:
    """Write sum of weight * parent to `out`; return whether every element is finite."""
    total = np.empty(BLOCK, np.float32)
    bad = np.uint32(0)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        for index in range(len(parents)):
            _add_scaled(_ahead(parents[index], start, stop), weights[index], total, index == 0)
        bad = np.uint32(bad | _store(total, out[start:stop]))
    return bool(bad == 0)


@_compiled
def add_task_vectors(  # noqa: PLR0913, PLR0917 (compiled code takes plain arguments)
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
    bad_result, bad_vectors = np.uint32(0), np.uint32(0)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        _load(_ahead(base, start, stop), origin)
        for index in range(count):
            vector, source = vectors[index], _ahead(parents[index], start, stop)
            factor, limit, first = factors[index], limits[index], index == 0
            if rules[index] == ALL:
                bad = _add_all(source, origin, factor, vector, total, first)
            elif rules[index] == LARGE:
                ceiling = ceilings[index]
                bad = _add_large(source, origin, limit, ceiling, factor, vector, total, first)
            else:
                _draw(place + start, limit, keys[index], mask)
                bad = _add_masked(source, origin, mask, factor, vector, total, first)
            bad_vectors = np.uint32(bad_vectors | bad)
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
        bad_result = np.uint32(bad_result | _store_moved(origin, total, scale, out[start:stop]))
    return bool(bad_result == 0), bool(bad_vectors == 0)


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
        for j in range(stop - start):
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
    bad = np.uint32(0)
    for j in range(bits.size):
        bad = np.uint32(bad | _not_finite(_at(bits, j)))
    return bool(bad == 0)


@_compiled
def magnitudes(base: Bits, parent: Bits, out: NDArray[np.uint32]) -> None:
    """Write the magnitudes of parent - base to `out`, as bits, which are in the same order."""
    for j in range(out.size):
        out[j] = _bits(abs(_at(parent, j) - _at(base, j)))


@_compiled
def magnitudes_between(
    base: Bits, parent: Bits, low: int, high: int, out: NDArray[np.uint32]
) -> tuple[int, int]:
    """Write those magnitudes that lie between two, inclusive, to the start of `out`.

    Returns:
        How many were written, and how many are larger. `out` needs room for `BLOCK` more.
    """
    values = np.empty(BLOCK, np.uint32)
    lowest, width, highest = np.uint32(low), np.uint32(high - low), np.uint32(high)
    larger = np.zeros(BLOCK, np.uint32)
    found = np.uint64(0)
    for start in range(0, base.size, BLOCK):
        stop = min(start + BLOCK, base.size)
        magnitudes(_ahead(base, start, stop), _ahead(parent, start, stop), values[: stop - start])
        for j in range(stop - start):
            larger[j] += np.uint32(values[j] > highest)
        whole = (stop - start) // LANES * LANES if PACKS else 0
        found = _pack_lanes(values[:whole], lowest, width, out, found)
        found = _pack(values[whole : stop - start], lowest, width, out, found)
    return int(found), int(larger.sum())


# The loops below work on a whole block of values, of which the last one's rest is unused. Those that
# write `vector` and `total` multiply by the parent's factor, and begin or continue the sum. What is
# returned is not zero if an element is not finite. Bits are combined as uint32, as numba would
# otherwise make them 64 bits wide, of which a vector instruction holds half as many.


@_compiled
def _ahead(source: Bits, start: int, stop: int) -> Bits:
    """The elements of a block; those of the next one are asked for meanwhile.

    Models are read in turns, so that the processor by itself would wait at the start of each block.
    """
    for j in range(stop, min(stop + BLOCK, source.size), LINE // source.itemsize):
        _fetch(source, j)
    return source[start:stop]


@_compiled
def _at(source: Bits, j: int) -> np.float32:
    """An element as float32."""
    if source.itemsize == 2:
        return _float(np.uint32(source[j]) << np.uint32(16))
    return _float(np.uint32(source[j]))


@_compiled
def _not_finite(value: np.float32) -> np.uint32:
    """1 if a number is NaN or infinite, otherwise 0."""
    return np.uint32((_bits(value) & _INFINITE) == _INFINITE)


@_compiled
def _pack(
    values: NDArray[np.uint32],
    low: np.uint32,
    width: np.uint32,
    out: NDArray[np.uint32],
    place: np.uint64,
) -> np.uint64:
    """Write the values from `low` to `low + width` to `out`, from `place` on; returns their end.

    There are no branches: what is not wanted is overwritten by what follows.
    """
    for j in range(values.size):
        out[place] = values[j]
        place += np.uint64(np.uint32(values[j] - low) <= width)
    return place


@_compiled
def _pack_lanes(
    values: NDArray[np.uint32],
    low: np.uint32,
    width: np.uint32,
    out: NDArray[np.uint32],
    place: np.uint64,
) -> np.uint64:
    """The same for a whole number of `LANES`."""
    for j in range(0, values.size, LANES):
        place = _pack_some(values, np.uint64(j), low, width, out, place)
    return place


@_compiled
def _load(source: Bits, values: Floats) -> None:
    for j in range(source.size):
        values[j] = _at(source, j)


@_compiled
def _add_scaled(source: Bits, factor: np.float32, total: Floats, first: bool) -> None:
    """Add the model itself."""
    for j in range(source.size):
        value = _at(source, j) * factor
        total[j] = value if first else total[j] + value


@_compiled
def _add_all(
    source: Bits, origin: Floats, factor: np.float32, vector: Floats, total: Floats, first: bool
) -> np.uint32:
    """Add source - origin."""
    bad = np.uint32(0)
    for j in range(source.size):
        change = _at(source, j) - origin[j]
        bad = np.uint32(bad | _not_finite(change))
        value = change * factor
        vector[j] = value
        total[j] = value if first else total[j] + value
    return bad


@_compiled
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
    """The same, of which only magnitudes from `limit` to `ceiling` are kept."""
    bad = np.uint32(0)
    for j in range(source.size):
        change = _at(source, j) - origin[j]
        bad = np.uint32(bad | _not_finite(change))
        size = abs(change)
        value = (change if (size >= limit) & (size <= ceiling) else _ZERO) * factor
        vector[j] = value
        total[j] = value if first else total[j] + value
    return bad


@_compiled
def _add_masked(
    source: Bits,
    origin: Floats,
    mask: NDArray[np.int32],
    factor: np.float32,
    vector: Floats,
    total: Floats,
    first: bool,
) -> np.uint32:
    """The same, of which only those elements are kept whose mask is all ones."""
    bad = np.uint32(0)
    for j in range(source.size):
        change = _at(source, j) - origin[j]
        bad = np.uint32(bad | _not_finite(change))
        value = _float(_bits(change) & np.uint32(mask[j])) * factor
        vector[j] = value
        total[j] = value if first else total[j] + value
    return bad


@_compiled
def _draw(start: int, limit: np.float32, key: np.uint64, mask: NDArray[np.int32]) -> None:
    """All ones where number i of SplitMix64 is below the limit (see `masks`), otherwise zero.

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


@_compiled
def _put(value: np.float32, out: Bits, j: int) -> np.uint32:
    """Write a float32 as it is, or rounded to the nearest bfloat16, ties to even."""
    bits = _bits(value)
    if out.itemsize == 2:
        odd = (bits >> np.uint32(16)) & np.uint32(1)
        bits = np.uint32(bits + np.uint32(0x7FFF) + odd)
        out[j] = bits >> np.uint32(16)
    else:
        out[j] = bits
    return _not_finite(_float(bits))


@_compiled
def _store(values: Floats, out: Bits) -> np.uint32:
    bad = np.uint32(0)
    for j in range(out.size):
        bad = np.uint32(bad | _put(values[j], out, j))
    return bad


@_compiled
def _store_moved(origin: Floats, total: Floats, scale: np.float32, out: Bits) -> np.uint32:
    """Write origin + scale * total."""
    bad = np.uint32(0)
    for j in range(out.size):
        bad = np.uint32(bad | _put(total[j] * scale + origin[j], out, j))
    return bad


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
