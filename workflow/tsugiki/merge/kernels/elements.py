"""Reading and writing the elements of tensors, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

from tsugiki.merge.kernels.compiling import compiled

Bits = NDArray[Any]
"""uint32 or uint16."""
Floats = NDArray[np.float32]
Addresses = NDArray[np.uint64]
"""Where the elements of several models begin in memory (see `addresses`)."""

BLOCK = 1024
"""Elements worked on at a time: few enough that all intermediate results stay in the cache."""
LINE = 64
"""Bytes that come from memory at once."""
INFINITE = np.uint32(0x7F800000)
ZERO, ONE = np.float32(0), np.float32(1)

# Bits are combined as uint32, as numba would otherwise make them 64 bits wide, of which a vector
# instruction holds half as many. Loops that return uint32 return what is not zero if an element is NaN
# or infinite.


def elements_of(tensor: Tensor) -> Bits:
    """A tensor's elements, flat: uint16 for bfloat16, otherwise uint32 (converted to float32).

    No copy is made of contiguous bfloat16 and float32, unless a file has them at odd addresses.
    """
    flat = tensor.contiguous().flatten()
    if flat.dtype == torch.bfloat16:
        bits: Bits = flat.view(torch.int16).numpy().view(np.uint16)
    else:
        bits = flat.float().view(torch.int32).numpy().view(np.uint32)
    return np.require(bits, requirements="A")


def in_one_format(models: Sequence[Bits]) -> tuple[Bits, ...]:
    """The models' elements as float32, unless all are bfloat16."""
    if all(model.itemsize == 2 for model in models):
        return tuple(models)
    return tuple(
        model if model.itemsize == 4 else model.astype(np.uint32) << np.uint32(16)
        for model in models
    )


def addresses(models: Sequence[Bits]) -> Addresses:
    """How loops are given any number of models by one signature; the models are to stay in memory.

    Args:
        models: Elements of each, as many, in one format, and contiguous.
    """
    return np.array([model.ctypes.data for model in models], np.uint64)


def _pointing() -> Callable[[Any, Any], Any]:
    """A function that makes a pointer of an address, to elements like those of an array."""

    def typed(_context: Any, like: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            kind = context.get_value_type(types.CPointer(like.dtype))
            return builder.inttoptr(arguments[1], kind)

        return types.CPointer(like.dtype)(like, address), generate

    function: Callable[[Any, Any], Any] = intrinsic(typed)
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


fetch = _fetching()
pointer = _pointing()


@compiled
def float_of(bits: np.uint32) -> np.float32:
    """The float32 that has these bits."""
    return np.uint32(bits).view(np.float32)


@compiled
def bits_of(value: np.float32) -> np.uint32:
    """The bits of a float32."""
    return np.float32(value).view(np.uint32)


@compiled
def ahead(source: Bits, start: int, stop: int) -> Bits:
    """The elements of a block; those of the next one are asked for meanwhile.

    Models are read in turns, so that the processor by itself would wait at the start of each block.
    """
    for j in range(stop, min(stop + BLOCK, source.size), LINE // source.itemsize):
        fetch(source, j)
    return source[start:stop]


@compiled
def block(like: Bits, address: np.uint64, start: int, stop: int) -> Bits:
    """The elements of a block of the model at an address, which has the size and format of `like`."""
    return ahead(carray(pointer(like, address), like.size), start, stop)


@compiled
def at(source: Bits, j: int) -> np.float32:
    """An element as float32."""
    bits = np.uint32(source[j])
    value: np.float32 = float_of(bits << np.uint32(16) if source.itemsize == 2 else bits)
    return value


@compiled
def not_finite(value: np.float32) -> np.uint32:
    """1 if a number is NaN or infinite, otherwise 0."""
    return np.uint32((bits_of(value) & INFINITE) == INFINITE)


@compiled
def load(source: Bits, values: Floats) -> None:
    """Write the elements as float32."""
    for j in range(source.size):
        values[j] = at(source, j)


@compiled
def put(value: np.float32, out: Bits, j: int) -> np.uint32:
    """Write a float32 as it is, or rounded to the nearest bfloat16, ties to even."""
    bits = bits_of(value)
    if out.itemsize == 2:
        odd = (bits >> np.uint32(16)) & np.uint32(1)
        bits = np.uint32(bits + np.uint32(0x7FFF) + odd)
        out[j] = bits >> np.uint32(16)
    else:
        out[j] = bits
    return not_finite(float_of(bits))


@compiled
def store(values: Floats, out: Bits) -> np.uint32:
    """Write float32 values as the elements of a tensor."""
    bad = np.uint32(0)
    for j in range(out.size):
        bad = np.uint32(bad | put(values[j], out, j))
    return bad


@compiled
def store_moved(origin: Floats, total: Floats, scale: np.float32, out: Bits) -> np.uint32:
    """Write origin + scale * total."""
    bad = np.uint32(0)
    for j in range(out.size):
        bad = np.uint32(bad | put(total[j] * scale + origin[j], out, j))
    return bad
