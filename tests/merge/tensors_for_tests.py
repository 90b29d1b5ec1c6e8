"""Calling a merge method on tensors in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.kernels.elements import Bits, elements_of
from tsugiki.merge.method import MergeInputs, Method
from tsugiki.merge.registry import get_method

NAME = "model.layers.0.mlp.up_proj.weight"


@dataclass(frozen=True)
class InMemory:
    """A source of tensors that are simply there."""

    parents: Sequence[Tensor]
    base: Tensor | None = None
    device: ClassVar = torch.device("cpu")

    def bits(self, index: int | None) -> Bits:
        """Elements as the compiled loops take them."""
        return elements_of(self._stored(index))

    def values(self, index: int | None) -> Tensor:
        """A model's tensor."""
        return self._stored(index).float()

    def decomposition(self, index: int) -> None:
        """There are no files."""

    def require_finite(self) -> None:
        """Tests of methods give finite tensors, or mean what comes of others."""

    def _stored(self, index: int | None) -> Tensor:
        tensor = self.base if index is None else self.parents[index]
        assert tensor is not None
        return tensor


def inputs_for(
    method: Method, parents: Sequence[Any], base: Any = None, **values: Any
) -> MergeInputs:
    """Tensors and values as the method is given them; a single number is for every parent."""
    tensors = [torch.as_tensor(parent) for parent in parents]
    per_parent, shared = {}, {}
    for spec in method.parameters:
        value = values.pop(spec.name, spec.default)
        if not spec.per_parent:
            shared[spec.name] = float(value)
        elif isinstance(value, (int, float)):
            per_parent[spec.name] = (float(value),) * len(tensors)
        else:
            per_parent[spec.name] = tuple(map(float, value))
    mask_seed = values.pop("mask_seed", 0)
    options = {spec.name: values.pop(spec.name, spec.default) for spec in method.options}
    assert not values, f"{method.name} has no {sorted(values)}"
    return MergeInputs(
        name=NAME,
        shape=tuple(tensors[0].shape),
        parents=tuple(f"p{index}" for index in range(len(tensors))),
        digests=tuple(f"{index:064x}" for index in range(len(tensors))),
        tensors=InMemory(tensors, None if base is None else torch.as_tensor(base)),
        per_parent=per_parent,
        shared=shared,
        options=options,
        mask_seed=mask_seed,
        has_base=base is not None,
    )


def whole(method: Method, inputs: MergeInputs, dtype: torch.dtype = torch.float32) -> Tensor:
    """What a method makes, as a whole."""
    made = method.merge(inputs)
    return made.whole(dtype)[0] if isinstance(made, BlockwiseMerge) else made.to(dtype)


def merge(name: str, parents: Sequence[Any], base: Any = None, **values: Any) -> Tensor:
    """What a method makes of tensors; `lambda_` stands for the option `lambda`."""
    if "lambda_" in values:
        values["lambda"] = values.pop("lambda_")
    method = get_method(name)
    return whole(method, inputs_for(method, parents, base, **values))
