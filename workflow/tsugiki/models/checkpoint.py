"""Reading checkpoints: safetensors only, headers first, weights memory-mapped when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from tsugiki.errors import ParentError
from tsugiki.models.checks.numbers import check_numbers
from tsugiki.models.components import weight_layouts
from tsugiki.models.facts import read_facts
from tsugiki.models.fault import raise_first
from tsugiki.models.headers import TensorHeader
from tsugiki.models.kinds.kind import Kind, Names
from tsugiki.models.sources import FolderFiles

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


class Checkpoint:
    """A model's folder. Opening it reads headers only.

    Raises:
        ParentError: the folder holds no whole, unquantised safetensors checkpoint, or its tensors
            cannot be named.
    """

    def __init__(self, name: str, folder: Path, names: Names | None = None) -> None:
        if not folder.is_dir():
            raise ParentError(f"`{name}` is not there", where=str(folder), got="no such folder")
        self.name = name
        self.folder = folder
        files = FolderFiles(folder)
        self.facts, faults = read_facts(name, files, names)
        raise_first([*faults, *check_numbers(self.facts)])
        self.layouts = weight_layouts(files, self.facts.kind.layout)
        """How files of weights are called, by component; by an empty name if the model has none."""
        merged = frozenset(self.facts.names.values())
        self.headers: Mapping[str, TensorHeader] = self.facts.merged
        """Of the tensors that are merged, by their names in the merge."""
        self.outside: Mapping[str, TensorHeader] = {
            tensor: header
            for tensor, header in sorted(self.facts.tensors.items())
            if tensor not in merged
        }
        """Of the others, such as a vision tower's, by their stored names."""
        self._handles: dict[str, Any] = {}

    @property
    def config(self) -> dict[str, Any]:
        """Content of its configuration."""
        return dict(self.facts.config)

    @property
    def kind(self) -> Kind:
        """What kind of model it is."""
        return self.facts.kind

    def tensor(self, name: str) -> Tensor:
        """A tensor as it is stored. It is a map of the file: it must not be changed."""
        header = self.header(name)
        file, stored = header.file, self.facts.names.get(name, name)
        if file not in self._handles:
            self._handles[file] = safe_open(self.folder / file, framework="pt")
        tensor: Tensor = self._handles[file].get_tensor(header.key(stored))
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
