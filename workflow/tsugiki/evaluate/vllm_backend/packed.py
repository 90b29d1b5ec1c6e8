"""Weights as vLLM holds them on processors: packed, in a function of the layer.

`cpu_linear` computes with a copy of the layer's weights; most layers keep no others. A reload packs
anew, except where a layer shares the weights of another one, as with tied embeddings.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def forget_packed(model: nn.Module) -> None:
    """Drop what is packed; a reload makes it anew."""
    layer: Any
    for layer in model.modules():
        if hasattr(layer, "cpu_linear"):
            layer.cpu_linear = None


def pack_tied(model: nn.Module) -> None:
    """Pack the weights of layers that a reload has passed by, but which have weights."""
    layer: Any
    for layer in model.modules():
        if _is_forgotten(layer) and layer.weight.numel():
            layer.quant_method.process_weights_after_loading(layer)


def packed_are_finite(layer: Any) -> bool:
    """Whether a layer is packed whole; true for one whose weights can be seen."""
    if _is_forgotten(layer):
        return False
    if not hasattr(layer, "cpu_linear") or layer.weight.numel():
        return True
    zeros = torch.zeros(1, layer.input_size_per_partition, dtype=layer.params_dtype)
    return bool(torch.isfinite(layer.cpu_linear(zeros, layer.weight, None)).all())


def _is_forgotten(layer: Any) -> bool:
    return getattr(layer, "cpu_linear", layer) is None
