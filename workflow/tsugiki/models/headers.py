"""The tensors of a checkpoint, from the headers of its safetensors files: in a folder or on the Hub.

A file is 8 bytes with the header's length, the header (JSON), and the tensors' bytes, each of which
belongs to one tensor: none to two, none to nobody.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from tsugiki.models.absent import no_weights, no_weights_of_components
from tsugiki.models.components import ComponentFiles, listed_components
from tsugiki.models.fault import Fault, listed
from tsugiki.models.files import SUFFIX
from tsugiki.models.kinds.kind import Layout
from tsugiki.models.kinds.registry import layout_of
from tsugiki.models.sources import ParentFiles

FIRST_READ = 100_000
"""Bytes asked for at first; nearly all headers are shorter."""
LONGEST = 100_000_000
"""Bytes; the format allows no longer header."""
LOOKED_AT = 3
"""Files whose headers are read to say what a model without weights is instead."""
BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
}
"""Bits of an element. Formats that are not here are newer; their sizes are not checked."""

ADAPTER = "adapter_config.json"
FLOATS = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
"""Formats of numbers that can be averaged, and what they are called elsewhere."""


class TensorHeader(NamedTuple):
    """What a header says of a tensor."""

    dtype: str
    """The format's name, such as `BF16`."""
    shape: tuple[int, ...]
    size: int
    """Bytes."""
    file: str = ""
    """The file that it is in, within the model's folder."""

    def key(self, stored: str) -> str:
        """The tensor's name within its file, where it has no component's name in front."""
        return stored.removeprefix(prefix_of(self.file))

    @property
    def is_float(self) -> bool:
        """Whether it holds numbers that can be averaged."""
        return self.dtype in FLOATS

    @property
    def numel(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)


Tensors = dict[str, TensorHeader]


def prefix_of(file: str) -> str:
    """What the names of a file's tensors get in front: the component whose folder, in the model's, it lies in."""
    component = PurePosixPath(file).parent.name
    return f"{component}." if component else ""


class HeaderError(ValueError):
    """A file is no whole safetensors file; the text says why."""


def header_end(start: bytes) -> int:
    """Where the header of a file ends, as the file's first 8 bytes say."""
    return 8 + int.from_bytes(start[:8], "little")


def parse_header(start: bytes, size: int) -> Tensors:
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
    return {
        name: TensorHeader(dtype, shape, last - first) for first, last, name, dtype, shape in places
    }


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


def read_headers(name: str, files: ParentFiles) -> tuple[Tensors, list[Fault]]:
    """Read all headers of a parent.

    Returns:
        The tensors that could be read, by name, and the faults of files and index.
    """
    layout = layout_of(files.sizes)
    if layout.parts:
        return _components(name, files, layout)
    return _read(name, files, layout)


def _components(name: str, files: ParentFiles, layout: Layout) -> tuple[Tensors, list[Fault]]:
    """The tensors of all components, each with the component's name in front."""
    found: Tensors = {}
    faults: list[Fault] = []
    without: dict[str, list[str]] = {}
    for component in listed_components(files, layout):
        part = ComponentFiles(files, component)
        chosen = part.layout(layout)
        if chosen is None or not chosen.weights:
            continue  # settings alone, or told with the configuration
        if not part.has_weights(chosen):
            without[component] = sorted(part.sizes)
            continue
        tensors, told = _read(f"{name}: {component}", part, chosen)
        faults += told
        for tensor, header in tensors.items():
            place = f"{component}/{header.file}"
            found[f"{component}.{tensor}"] = header._replace(file=place)
    if without:
        faults.append(no_weights_of_components(name, files.where, layout, without))
    return found, faults


def _read(name: str, files: ParentFiles, layout: Layout) -> tuple[Tensors, list[Fault]]:
    """The tensors of files that lie in one folder."""
    shards, faults = _shards(name, files, layout)
    headers: dict[str, Tensors] = {}
    for shard, promised in sorted(shards.items()):
        header = read_header(name, files, shard)
        if isinstance(header, Fault):
            faults.append(header)
            continue
        if promised is not None and (lacking := sorted(promised - header.keys())):
            faults.append(
                Fault(
                    f"a shard of `{name}` lacks tensors that the index places in it",
                    f"{files.where}, {shard}",
                    expected=listed(lacking),
                    fix="fetch or save the checkpoint again",
                )
            )
        headers[shard] = {tensor: one._replace(file=shard) for tensor, one in header.items()}
    if (place := twice(headers)) is not None:
        tensor, first, second = place
        faults.append(
            Fault(
                f"two files of `{name}` hold the same tensor, and a loader would keep either",
                f"{files.where}, {first} and {second}",
                expected="each tensor in one file",
                got=tensor,
                fix="fetch or save the checkpoint again",
            )
        )
    return {tensor: one for header in headers.values() for tensor, one in header.items()}, faults


Shards = dict[str, set[str] | None]
"""Files with weights, each with the tensors that the index promises in it, if there is one."""


def _shards(name: str, files: ParentFiles, layout: Layout) -> tuple[Shards, list[Fault]]:
    if layout.index in files.sizes:
        return _indexed(name, files, layout)
    if layout.weights in files.sizes:
        return {layout.weights: None}, []
    if ADAPTER in files.sizes:
        return {}, [_adapter(name, files, layout)]
    others = sorted(file for file in files.sizes if file.endswith(SUFFIX))[:LOOKED_AT]
    headers = [read_header(name, files, file) for file in others]
    stored = [tensor for one in headers if isinstance(one, dict) for tensor in one]
    return {}, [no_weights(name, files.where, files.sizes, layout, stored)]


def _indexed(name: str, files: ParentFiles, layout: Layout) -> tuple[Shards, list[Fault]]:
    where = f"{files.where}, {layout.index}"
    try:
        places = json.loads(files.read(layout.index))["weight_map"]
        shards: dict[str, set[str]] = {}
        for tensor, shard in places.items():
            shards.setdefault(str(shard), set()).add(tensor)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return {}, [
            Fault(
                f"the index of `{name}` cannot be read",
                where,
                expected='a JSON object with "weight_map"',
                got=f"{type(error).__name__}: {error}",
                fix="fetch or save the checkpoint again",
            )
        ]
    faults = [
        _bad_shard(name, where, shard) for shard in sorted(shards) if shard not in files.sizes
    ]
    if layout.weights in files.sizes and layout.weights not in shards:
        faults.append(
            Fault(
                f"`{name}` has two sets of weights, and loaders differ in which they take",
                files.where,
                expected=f"{layout.weights}, or {layout.index} and its shards",
                got=f"{layout.weights}, and {listed([layout.index, *sorted(shards)])}",
                fix="remove what does not belong to the model, in a copy of it if need be",
            )
        )
    return {shard: shards[shard] for shard in shards if shard in files.sizes}, faults


def _bad_shard(name: str, where: str, shard: str) -> Fault:
    if PurePosixPath(shard).name != shard or shard in {"", ".."}:
        return Fault(
            f"the index of `{name}` names a shard outside the model's folder",
            where,
            expected="plain file names",
            got=shard,
            fix="do not use this checkpoint: its index has been tampered with",
        )
    return Fault(
        f"a shard of `{name}` is missing",
        where,
        expected=shard,
        got="no such file",
        fix="fetch or copy the checkpoint again",
    )


def _adapter(name: str, files: ParentFiles, layout: Layout) -> Fault:
    try:
        base = str(json.loads(files.read(ADAPTER))["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError):
        base = "that it was trained on"
    return Fault(
        f"`{name}` is an adapter (LoRA), not a whole model",
        files.where,
        expected=layout.weights,
        got=f"{ADAPTER}, for the base model {base}",
        fix=f"name the parent that holds {base}: add `adapter_of: NAME` to `{name}` in a run's "
        "configuration; or merge it into that model first (peft: merge_and_unload)",
    )


def read_header(name: str, files: ParentFiles, shard: str) -> Tensors | Fault:
    """The tensors of one safetensors file, or what is wrong with it."""
    size = files.sizes[shard]
    start = files.start(shard, FIRST_READ)
    if len(start) < (end := header_end(start)) <= min(size, 8 + LONGEST):
        start = files.start(shard, end)
    try:
        return parse_header(start, size)
    except HeaderError as error:
        return Fault(
            f"a file of `{name}` is not in safetensors format, or is cut short",
            f"{files.where}, {shard}",
            got=str(error),
            fix="fetch or copy the file again",
        )
