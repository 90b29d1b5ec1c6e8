"""Decompositions of task vectors in files: made once for a search, and not again for each candidate.

A decomposition depends on parent, base, method and options, and never on the parameters that are searched. A merge
gives the same bits with the file as without.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tsugiki.canonical import digest
from tsugiki.contracts.recipe import ParentRef
from tsugiki.errors import InfrastructureError
from tsugiki.merge.method import Method, Value
from tsugiki.models.digest import FORMAT_NAMES
from tsugiki.models.headers import TensorHeader

WEIGHTS = "decomposition.safetensors"
VERSION = 1
"""To be raised when the same models are to give other bytes."""


def made_from(
    method: Method, options: Mapping[str, Value], parent: ParentRef, base: ParentRef
) -> dict[str, Any]:
    """All that a decomposition's bytes depend on. The models' names do not count."""
    models = [[one.digest, one.names] if one.names else [one.digest] for one in (parent, base)]
    return {
        "version": VERSION,
        "method": method.name,
        "options": dict(options),
        "parent": models[0],
        "base": models[1],
    }


def key(made_from: Mapping[str, Any]) -> str:
    """Name of a decomposition's folder."""
    return digest(made_from)[:16]


def header(
    method: Method, options: Mapping[str, Value], shape: tuple[int, ...]
) -> TensorHeader | None:
    """What is kept of a tensor of a task vector, by its shape; None of tensors that are not decomposed."""
    if method.decompose is None or len(shape) < 2 or not math.prod(shape):
        return None
    defaults = {spec.name: spec.default for spec in method.options}
    made = method.decompose(torch.empty(shape, device="meta"), {**defaults, **options})
    return TensorHeader(FORMAT_NAMES[made.dtype], tuple(made.shape), made.nbytes)


class Decomposition:
    """What was kept of one parent's task vector, tensor by tensor.

    Raises:
        InfrastructureError: its file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        opened: Any = safe_open
        try:
            self._file = opened(folder / WEIGHTS, framework="pt")
            self._names = frozenset(self._file.keys())
        except (OSError, SafetensorError) as error:
            raise InfrastructureError(
                "the decomposition of a task vector cannot be read",
                where=str(folder / WEIGHTS),
                got=str(error),
                fix="remove the folder: candidates are then decomposed one by one, or the rule "
                "`decompose` makes it again",
            ) from error

    def tensor(self, name: str) -> Tensor | None:
        """That of one tensor: a map of the file, which must not be changed. None if it has none."""
        found: Tensor | None = self._file.get_tensor(name) if name in self._names else None
        return found
