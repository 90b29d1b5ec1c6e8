"""Calling a merge method on tensors in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tsugiki.merge.blockwise import bits_of, in_one_format
from tsugiki.merge.inputs import MergeInputs
from tsugiki.merge.kernels.elements import Bits
from tsugiki.merge.masks import mask_key, uniforms
from tsugiki.merge.method import Method
from tsugiki.merge.registry import get_method
from tsugiki.merge.selection import Magnitudes, nth_largest

NAME = "model.layers.0.mlp.up_proj.weight"


@dataclass(frozen=True)
class InMemory:
    """A source of tensors that are simply there."""

    parents: Sequence[Tensor]
    base_tensor: Tensor | None = None

    def bits(self, index: int | None) -> Bits:
        """Elements as the compiled loops take them."""
        return bits_of(self._stored(index))

    def require_finite(self) -> None:
        """Tests of methods give finite tensors, or mean what comes of others."""

    def base(self) -> Tensor:
        """The base's tensor."""
        return self._stored(None).float()

    def parent(self, index: int) -> Tensor:
        """A parent's tensor."""
        return self._stored(index).float()

    def task_vector(self, index: int) -> Tensor:
        """Parent minus base."""
        return self.parent(index) - self.base()

    def largest(self, index: int, count: int) -> float:
        """The `count`-th largest magnitude."""
        base, parent = in_one_format([self.bits(None), self.bits(index)])
        return nth_largest(Magnitudes(base, parent), count)

    def uniforms(self, index: int, mask_seed: int) -> Tensor:
        """Random numbers."""
        shape = self.parents[index].shape
        key = mask_key(mask_seed, NAME, f"{index:064x}")
        return uniforms(key, self.parents[index].numel()).view(shape)

    def _stored(self, index: int | None) -> Tensor:
        tensor = self.base_tensor if index is None else self.parents[index]
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


def merge(name: str, parents: Sequence[Any], base: Any = None, **values: Any) -> Tensor:
    """What a method makes of tensors; `lambda_` stands for the option `lambda`."""
    if "lambda_" in values:
        values["lambda"] = values.pop("lambda_")
    method = get_method(name)
    return method.merge(inputs_for(method, parents, base, **values))
