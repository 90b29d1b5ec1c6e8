"""Decompositions of task vectors in files: made once for a search, and not again for each candidate.

A decomposition depends on parent, base, method and options, and never on the parameters that are searched. A merge has
the same bits with the file as without, on processors of one kind and with one version of torch.
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
from tsugiki.contracts.recipe import ParentRef, Recipe
from tsugiki.errors import InfrastructureError
from tsugiki.merge.method import Method, Value
from tsugiki.merge.registry import get_method
from tsugiki.merge.settings import options_of, parents_in_order
from tsugiki.models.digest import FORMAT_NAMES
from tsugiki.models.headers import TensorHeader

WEIGHTS = "decomposition.safetensors"
VERSION = 1
"""To be raised when the same models are to give other decompositions."""


def decomposed_from(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """All that decompositions depend on, beside the libraries that compute them.

    Returns:
        By name of the parent whose task vector it is, in the order in which the method gets them. Names of
        models are no part of what it depends on. Empty for methods that decompose nothing.
    """
    method, base = get_method(recipe.method), recipe.base
    if method.decompose is None or base is None:
        return {}
    common = {
        "version": VERSION,
        "method": method.name,
        "options": dict(options_of(recipe, method)),
        "base": _identity(base),
    }
    return {one.name: {**common, "parent": _identity(one)} for one in parents_in_order(recipe)}


def _identity(model: ParentRef) -> list[Any]:
    return [model.digest, model.names] if model.names else [model.digest]


def key_of(inputs: Mapping[str, Any]) -> str:
    """What a decomposition is found by."""
    return digest(inputs)[:16]


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
    """What is kept of one parent's task vector, tensor by tensor.

    Raises:
        InfrastructureError: the file cannot be read.
    """

    def __init__(self, file: Path) -> None:
        opened: Any = safe_open
        try:
            self._file = opened(file, framework="pt")
            self._names = frozenset(self._file.keys())
        except (OSError, SafetensorError) as error:
            raise InfrastructureError(
                "the decomposition of a task vector cannot be read",
                where=str(file),
                got=str(error),
                fix="run `tsugiki decompose` for the stage, which makes it again",
            ) from error

    def tensor(self, name: str) -> Tensor | None:
        """That of one tensor: a map of the file, which must not be changed. None if it has none."""
        found: Tensor | None = self._file.get_tensor(name) if name in self._names else None
        return found
