"""What the header of a safetensors file says: one reader for folders, caches and the Hub.

The format is 8 bytes with the header's length, the header (JSON), and the tensors' bytes, each of which
belongs to one tensor: none to two, none to nobody.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import NamedTuple

LONGEST = 100_000_000
"""Bytes; the format allows no longer header."""
BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
}
"""Bits of an element. Formats that are not here are newer; their sizes are not checked."""


class Entry(NamedTuple):
    """What a header says of a tensor."""

    dtype: str
    """The format's name, such as `BF16`."""
    shape: tuple[int, ...]
    size: int
    """Bytes."""


class HeaderError(ValueError):
    """A file is no whole safetensors file; the text says why."""


def header_end(start: bytes) -> int:
    """Where the header of a file ends, as the file's first 8 bytes say."""
    return 8 + int.from_bytes(start[:8], "little")


def parse_header(start: bytes, size: int) -> dict[str, Entry]:
    """The tensors of a file by name, all of its bytes accounted for.

    Args:
        start: The file's beginning, up to `header_end` at least.
        size: Bytes of the whole file.

    Raises:
        HeaderError: it is not in safetensors format, or its tensors do not fill it.
    """
    end = header_end(start)
    try:
        content = json.loads(start[8:end])
        places = sorted(
            (*map(int, entry["data_offsets"]), name, str(entry["dtype"]), _shape(entry["shape"]))
            for name, entry in content.items()
            if name != "__metadata__"
        )
        _require_filled(places, size - end)
    except HeaderError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HeaderError(f"{size} bytes, whose header cannot be read") from error
    return {name: Entry(dtype, shape, last - first) for first, last, name, dtype, shape in places}


def twice(headers: Mapping[str, Mapping[str, object]]) -> tuple[str, str, str] | None:
    """A tensor that two files of a checkpoint hold, and the files; None if there is none."""
    places: dict[str, str] = {}
    for file, tensors in sorted(headers.items()):
        for tensor in tensors:
            if places.setdefault(tensor, file) != file:
                return tensor, places[tensor], file
    return None


def _shape(extents: list[int]) -> tuple[int, ...]:
    shape = tuple(int(extent) for extent in extents)
    if any(extent < 0 for extent in shape):
        raise ValueError("a negative extent")
    return shape


def _require_filled(places: list[tuple[int, int, str, str, tuple[int, ...]]], size: int) -> None:
    """Each tensor begins where the one before ends, the last one ends with the file."""
    at, before = 0, "the header"
    for first, last, name, dtype, shape in places:
        if first != at:
            raise HeaderError(
                f"{name} {'overlaps' if first < at else 'does not follow'} {before}: "
                f"it begins at byte {first}, not {at}"
            )
        bits = BITS.get(dtype)
        if last < first or (bits is not None and 8 * (last - first) != bits * math.prod(shape)):
            raise HeaderError(f"{name} has {last - first} bytes for {list(shape)} of {dtype}")
        at, before = last, name
    if at != size:
        raise HeaderError(
            f"{'truncated' if size < at else 'too long'}: "
            f"{size} bytes of tensors, not {at} as its header says"
        )
