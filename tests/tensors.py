"""Comparing the tensors of models."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Whether the same names have equal tensors, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
