"""Comparing the tensors of models, and counting their memory."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping

import torch


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Whether the same names have equal tensors, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def bytes_of(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the memory that tensors are in, each once; those without content have none."""
    held = {
        memory.data_ptr(): memory.nbytes()
        for memory in (one.untyped_storage() for one in tensors if not one.is_meta)
    }
    return sum(held.values())


def bytes_alive() -> int:
    """Bytes of the memory of all tensors that anything in this process refers to."""
    return bytes_of(one for one in gc.get_objects() if issubclass(type(one), torch.Tensor))
