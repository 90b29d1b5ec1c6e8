"""Collecting values that lie in a range, and ranking them: magnitudes of task vectors, as bits.

The bits of float32 numbers that are not negative are in the order of the numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.elements import BLOCK, Bits, Floats, ahead, at, bits_of

LANES = 16
"""Elements that `pack` works on at a time."""
PACKS = bool(binding.get_host_cpu_features().get("avx512f"))
"""Whether the processor has an instruction for `pack`, which is slow otherwise."""


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


pack = _packing()


@compiled
def pack_all(
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


@compiled
def pack_lanes(
    values: NDArray[np.uint32],
    low: np.uint32,
    width: np.uint32,
    out: NDArray[np.uint32],
    place: np.uint64,
) -> np.uint64:
    """Write the values from `low` to `low + width`, of a whole number of `LANES`, as `pack_all` does."""
    for j in range(0, values.size, LANES):
        place = pack(values, np.uint64(j), low, width, out, place)
    return place


@compiled
def between(
    values: NDArray[np.uint32], low: int, high: int, out: NDArray[np.uint32], place: np.int64
) -> tuple[np.int64, np.int64]:
    """Write those values that lie between two, inclusive, to `out`, from `place` on.

    Returns:
        Where the next ones go, and how many are larger. `out` needs room for `LANES` more.
    """
    lowest, width, highest = np.uint32(low), np.uint32(high - low), np.uint32(high)
    larger = np.uint32(0)
    for j in range(values.size):
        larger = np.uint32(larger + np.uint32(values[j] > highest))
    whole = values.size // LANES * LANES if PACKS else 0
    end = pack_lanes(values[:whole], lowest, width, out, np.uint64(place))
    end = pack_all(values[whole:], lowest, width, out, end)
    return np.int64(end), np.int64(larger)


@compiled
def magnitudes(base: Bits, parent: Bits, out: NDArray[np.uint32]) -> None:
    """Write the magnitudes of parent - base to `out`, as bits, which are in the same order."""
    for j in range(out.size):
        out[j] = bits_of(abs(at(parent, j) - at(base, j)))


@compiled
def magnitudes_between(
    base: Bits, parent: Bits, low: int, high: int, out: NDArray[np.uint32]
) -> tuple[np.int64, np.int64]:
    """Write those magnitudes of parent - base that lie between two, inclusive, to `out`.

    Returns:
        How many were written, and how many are larger. `out` needs room for `BLOCK` more.
    """
    values = np.empty(BLOCK, np.uint32)
    found, larger = np.int64(0), np.int64(0)
    for start in range(0, base.size, BLOCK):
        stop = min(start + BLOCK, base.size)
        block = values[: stop - start]
        magnitudes(ahead(base, start, stop), ahead(parent, start, stop), block)
        found, more = between(block, low, high, out, found)
        larger += more
    return found, larger


@compiled
def ranking_keys(base: Bits, parent: Bits, width: int, out: NDArray[np.uint64]) -> None:
    """Write numbers whose order is that of the magnitudes of parent - base, then of their places.

    The lower half of each is its place in its row of `width` elements.
    """
    for begin in range(0, out.size, width):
        for j in range(width):
            change = abs(at(parent, begin + j) - at(base, begin + j))
            out[begin + j] = (np.uint64(bits_of(change)) << np.uint64(32)) | np.uint64(j)


@compiled
def by_rank(keys: NDArray[np.uint64], width: int, steps: Floats, out: Floats) -> None:
    """Give each element of each row that step of `steps` which is its rank; `keys` are sorted."""
    for begin in range(0, out.size, width):
        for j in range(width):
            out[begin + (keys[begin + j] & np.uint64(0xFFFFFFFF))] = steps[j]
