"""Reading checkpoints: safetensors only, headers first, weights memory-mapped when asked for."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from tsugiki.errors import ParentError
from tsugiki.models.names import Names, naming
from tsugiki.models.safetensors_header import (
    LONGEST,
    Entry,
    HeaderError,
    header_end,
    parse_header,
    twice,
)

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class TensorHeader:
    """What a file's header says of a tensor."""

    name: str
    """Its name in a merge (see `names`)."""
    stored: str
    """Its name in the file."""
    dtype: str
    """The format's name, such as `BF16`."""
    shape: tuple[int, ...]
    file: str
    """File name within the checkpoint's folder."""

    @property
    def is_float(self) -> bool:
        """Whether it holds numbers that can be averaged."""
        return self.dtype in {"F64", "F32", "BF16", "F16"}

    @property
    def numel(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)


class Checkpoint:
    """A model's folder. Opening it reads headers only.

    Args:
        name: The model's name, for messages.
        folder: Folder with config.json and safetensors files.
        names: What its tensors are called in a merge, if the user says so.

    Raises:
        ParentError: the folder holds no whole, unquantised safetensors checkpoint, or its tensors
            cannot be named.
    """

    def __init__(self, name: str, folder: Path, names: Names | None = None) -> None:
        self.name = name
        self.folder = folder
        _refuse_quantised(name, folder, self.config)
        stored = _read_headers(name, folder, _files(name, folder))
        found = naming(name, stored, self.config, names)
        self.headers: Mapping[str, TensorHeader] = {
            tensor: replace(stored[place], name=tensor) for tensor, place in found.merged.items()
        }
        """Of the tensors that are merged, by their names in the merge."""
        self.outside: Mapping[str, TensorHeader] = {
            tensor: stored[tensor] for tensor in sorted(found.outside)
        }
        """Of the others, such as a vision tower's, by their stored names."""
        for header in stored.values():
            if header.dtype not in DTYPES:
                raise ParentError(
                    f"parent `{name}` is stored in a number format that cannot be merged",
                    where=f"{folder / header.file}, tensor {header.stored}",
                    expected="float32, bfloat16 or float16",
                    got=header.dtype,
                    fix="use the unquantised checkpoint",
                )
        self._handles: dict[str, Any] = {}

    @cached_property
    def config(self) -> dict[str, Any]:
        """Content of config.json."""
        path = self.folder / "config.json"
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            raise _not_a_checkpoint(self.name, self.folder, "config.json") from None
        except ValueError as error:
            raise ParentError(
                f"parent `{self.name}` has an unreadable config.json",
                where=str(path),
                got=str(error),
            ) from error
        return dict(content)

    def tensor(self, name: str) -> Tensor:
        """A tensor as it is stored. It is a map of the file: it must not be changed."""
        header = self.header(name)
        if header.file not in self._handles:
            self._handles[header.file] = safe_open(self.folder / header.file, framework="pt")
        tensor: Tensor = self._handles[header.file].get_tensor(header.stored)
        return tensor

    def header(self, name: str) -> TensorHeader:
        """The header of a tensor, merged or not."""
        return self.headers[name] if name in self.headers else self.outside[name]

    def wider(self, name: str) -> torch.dtype | None:
        """The number format of a tensor that is stored in a wider one than most weights are.

        A router's bias, say, in float32 beside weights in bfloat16: it decides between numbers that
        are equal once rounded. None for other tensors.
        """
        header = self.headers[name]
        dtype = DTYPES[header.dtype]
        return dtype if header.is_float and dtype.itemsize > self._usual_width else None

    @cached_property
    def _usual_width(self) -> int:
        """Bytes of a number in the format that most elements are stored in; if equally many, the wider."""
        counts: Counter[str] = Counter()
        for header in self.headers.values():
            if header.is_float:
                counts[header.dtype] += header.numel
        usual = max(counts, key=lambda name: (counts[name], DTYPES[name].itemsize))
        return DTYPES[usual].itemsize


def _files(name: str, folder: Path) -> dict[str, frozenset[str] | None]:
    """The checkpoint's files, each with the tensors that the index places in it."""
    index = folder / INDEX
    if index.is_file():
        return _indexed_files(name, index)
    if (folder / SINGLE).is_file():
        return {SINGLE: None}
    raise _not_a_checkpoint(name, folder, SINGLE)


def _indexed_files(name: str, index: Path) -> dict[str, frozenset[str] | None]:
    try:
        places: dict[str, str] = json.loads(index.read_text())["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise ParentError(
            f"parent `{name}` has an unreadable index", where=str(index), got=repr(error)
        ) from error
    files: dict[str, set[str]] = {}
    for tensor, file in places.items():
        files.setdefault(str(file), set()).add(tensor)
    for file in files:
        if Path(file).name != file or file in {"", ".", ".."}:
            raise ParentError(
                f"parent `{name}` has an index that points outside its folder",
                where=str(index),
                expected="file names without folders",
                got=file,
                fix="do not use this checkpoint: its index has been tampered with",
            )
        if not (index.parent / file).is_file():
            raise ParentError(
                f"parent `{name}` lacks a shard that its index names",
                where=str(index),
                expected=file,
                got="no such file",
                fix="fetch the checkpoint again",
            )
    if (index.parent / SINGLE).is_file() and SINGLE not in files:
        raise ParentError(
            f"parent `{name}` has two sets of weights, and loaders differ in which they take",
            where=str(index.parent),
            expected=f"{SINGLE}, or {INDEX} and its shards",
            got=f"{SINGLE}, and {INDEX} with {', '.join(sorted(files)[:5])}",
            fix="remove what does not belong to the model, in a copy of it if need be",
        )
    return {file: frozenset(tensors) for file, tensors in files.items()}


def _read_headers(
    name: str, folder: Path, files: Mapping[str, frozenset[str] | None]
) -> dict[str, TensorHeader]:
    """The tensors of all files, by their stored names."""
    headers = {file: _read_header(name, folder / file) for file in sorted(files)}
    for file, expected in files.items():
        if expected is not None and (missing := sorted(expected - headers[file].keys())):
            raise ParentError(
                f"parent `{name}` has a shard that lacks tensors which the index places there",
                where=str(folder / file),
                expected=", ".join(missing[:5]),
                got=f"{len(missing)} tensors missing",
                fix="fetch the checkpoint again",
            )
    if (place := twice(headers)) is not None:
        tensor, first, second = place
        raise ParentError(
            f"two files of parent `{name}` hold the same tensor",
            where=f"{folder / first} and {second}",
            expected="each tensor in one file",
            got=tensor,
            fix="fetch or save the checkpoint again",
        )
    return {
        tensor: TensorHeader(tensor, tensor, entry.dtype, entry.shape, file)
        for file, entries in headers.items()
        for tensor, entry in sorted(entries.items())
    }


def _read_header(name: str, path: Path) -> dict[str, Entry]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        start += stream.read(min(header_end(start), size, 8 + LONGEST) - len(start))
    try:
        return parse_header(start, size)
    except HeaderError as error:
        raise ParentError(
            f"parent `{name}` has a file that is not in safetensors format, or is cut short",
            where=str(path),
            got=str(error),
            fix="fetch the file again",
        ) from error


def _refuse_quantised(name: str, folder: Path, config: Mapping[str, Any]) -> None:
    quantisation = config.get("quantization_config")
    if quantisation is not None:
        method = (
            quantisation.get("quant_method") if isinstance(quantisation, dict) else quantisation
        )
        raise ParentError(
            f"parent `{name}` is quantised",
            where=str(folder / "config.json"),
            expected="a checkpoint in float32, bfloat16 or float16",
            got=f"quantization_config ({method})",
            fix="use the unquantised checkpoint",
        )


def _not_a_checkpoint(name: str, folder: Path, wanted: str) -> ParentError:
    """Say why a folder is no checkpoint, by what it holds instead."""
    where = str(folder)
    if not folder.is_dir():
        return ParentError(f"parent `{name}` is not there", where=where, got="no such folder")
    if (folder / "adapter_config.json").is_file():
        return ParentError(
            f"parent `{name}` is an adapter (LoRA), not a whole model",
            where=where,
            expected=wanted,
            got="adapter_config.json",
            fix="merge the adapter into its base model first (peft: merge_and_unload) and save it",
        )
    pickles = sorted(
        path.name for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pth"}
    )
    if pickles:
        return ParentError(
            f"parent `{name}` is stored as a pickle, which can run any code when it is read",
            where=where,
            expected=wanted,
            got=", ".join(pickles[:3]),
            fix="convert it on a machine that you do not mind losing: load it with transformers "
            "and call save_pretrained, which writes safetensors",
        )
    return ParentError(
        f"parent `{name}` holds no checkpoint",
        where=where,
        expected=f"{wanted} (or {INDEX} and its shards)",
        got=", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "an empty folder",
    )
