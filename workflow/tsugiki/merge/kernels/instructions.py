"""Single instructions of the processor that numba has no name for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Elements that `pack` works on at a time."""
PACKS = bool(binding.get_host_cpu_features().get("avx512f"))
"""Whether the processor has an instruction for `pack`, which is slow otherwise."""


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


fetch = _fetching()
pack = _packing()
float_of = _reinterpret(types.uint32, types.float32, ir.FloatType())
bits_of = _reinterpret(types.float32, types.uint32, ir.IntType(32))
