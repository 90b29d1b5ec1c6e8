"""Models held in a device's memory, where methods of elementwise formulas merge them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from tsugiki.merge.masks import mask_key, uniforms
from tsugiki.merge.models import OpenModels, TensorSource
from tsugiki.models.checkpoint import DTYPES

LARGEST = 0x7F800000
"""Bits of infinity, the largest float32."""
ROOM = 64
"""Bytes that a formula needs for each element, and for each parent 4 more: float32 tensors, and a
sorted row with its places."""


def bytes_on_device(models: OpenModels) -> int:
    """Bytes that it takes to hold some models on a device and to merge there, beside the live model."""
    headers = [one for model in models.checkpoints.values() for one in model.headers.values()]
    held = sum(one.numel * DTYPES[one.dtype].itemsize for one in headers)
    largest = max((one.numel for one in headers), default=0)
    return held + largest * (ROOM + 4 * len(models.checkpoints))


def fits_on_device(needed: int, free: int) -> bool:
    """Whether models are held on a device: if half of what is free there is left for scoring.

    Args:
        needed: Bytes, of `bytes_on_device`.
        free: Free bytes of the device, with the live model in its memory.
    """
    return 2 * needed <= free


class HeldModels:
    """Tensors of some models on a device, as they are stored, from their first use on."""

    def __init__(self, models: OpenModels, device: torch.device) -> None:
        self.models = models
        self.device = device
        self._held: dict[tuple[str, str], Tensor] = {}

    def values(self, model: str, tensor: str) -> Tensor:
        """A model's tensor, float32.

        Raises:
            ParentError: it holds NaN or an infinity.
        """
        key = model, tensor
        if key not in self._held:
            self._held[key] = self.models.stored(model, tensor).to(self.device)
        return self._held[key].float()


@dataclass(frozen=True)
class HeldTensors(TensorSource):
    """One tensor of models that are held on a device: what a formula is given there."""

    held: HeldModels

    def base(self) -> Tensor:
        """The base's tensor, float32."""
        assert self.base_name is not None, "the method's description says whether it has a base"
        return self.held.values(self.base_name, self.tensor)

    def parent(self, index: int) -> Tensor:
        """A parent's tensor, float32."""
        return self.held.values(self.parents[index].name, self.tensor)

    def task_vector(self, index: int) -> Tensor:
        """Parent minus base, float32."""
        return self.parent(index) - self.base()

    def largest(self, index: int, count: int) -> float:
        """The `count`-th largest magnitude of a task vector."""
        return nth_largest(self.task_vector(index).abs_(), count)

    def uniforms(self, index: int, mask_seed: int) -> Tensor:
        """One number in [0, 1) for every element, of the tensor's shape."""
        parent = self.parents[index]
        shape = self.models.checkpoints[parent.name].headers[self.tensor].shape
        key = mask_key(mask_seed, self.tensor, parent.digest)
        return uniforms(key, prod(shape), self.held.device).view(shape)


def nth_largest(magnitudes: Tensor, count: int) -> float:
    """The `count`-th largest of float32 numbers that are not negative, exactly, on any device.

    The bits of such numbers are in their order. Their range is halved until one is left, by counting;
    to sort a large tensor would take several times its memory.
    """
    bits = magnitudes.view(torch.int32)
    low, high = 0, LARGEST
    while low < high:
        middle = (low + high + 1) // 2
        if int((bits >= middle).sum()) >= count:
            low = middle
        else:
            high = middle - 1
    return float(torch.tensor(low, dtype=torch.int32).view(torch.float32))
