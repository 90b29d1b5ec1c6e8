"""Reading and writing the elements of a tensor, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsugiki.merge.kernels.compiling import compiled
from tsugiki.merge.kernels.instructions import bits_of, fetch, float_of

Bits = NDArray[Any]
"""uint32 or uint16."""
Floats = NDArray[np.float32]

BLOCK = 1024
"""Elements worked on at a time: few enough that all intermediate results stay in the cache."""
LINE = 64
"""Bytes that come from memory at once."""
INFINITE = np.uint32(0x7F800000)
ZERO, ONE = np.float32(0), np.float32(1)

# Bits are combined as uint32, as numba would otherwise make them 64 bits wide, of which a vector
# instruction holds half as many. Loops that return uint32 return what is not zero if an element is NaN
# or infinite.


@compiled
def ahead(source: Bits, start: int, stop: int) -> Bits:
    """The elements of a block; those of the next one are asked for meanwhile.

    Models are read in turns, so that the processor by itself would wait at the start of each block.
    """
    for j in range(stop, min(stop + BLOCK, source.size), LINE // source.itemsize):
        fetch(source, j)
    return source[start:stop]


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
