"""Numbers that cannot be merged: quantised or packed weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tsugiki.parents.fault import Fault, listed
from tsugiki.parents.model import Model

NAMES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
"""Formats that can be merged."""
WEIGHT = re.compile(r"\.(weight|qweight|qzeros|scales|g_idx|weight_packed|weight_scale)$")


def check_numbers(model: Model) -> Iterator[Fault]:
    """A quantised model cannot be merged: its numbers are codes, not values."""
    quantisation = model.config.get("quantization_config")
    packed = sorted(
        f"{name} ({tensor.dtype})"
        for name, tensor in model.tensors.items()
        if tensor.dtype not in NAMES and WEIGHT.search(name)
    )
    if not quantisation and not packed:
        return
    method = quantisation.get("quant_method") if isinstance(quantisation, dict) else None
    found = [f"quantization_config ({method})"] if quantisation else []
    yield Fault(
        f"`{model.name}` is quantised",
        model.where,
        expected="weights in float32, bfloat16 or float16",
        got="; ".join([*found, *([listed(packed)] if packed else [])]),
        fix="use the checkpoint that it was quantised from",
    )


def note_formats(models: Sequence[Model], dtype: str) -> Iterator[str]:
    """Say what formats meet, where the weights are not all stored in the format asked for."""
    stored = {
        model.name: sorted(
            {NAMES[tensor.dtype] for tensor in model.tensors.values() if tensor.dtype in NAMES}
        )
        for model in models
        if model.tensors
    }
    if any(formats != [dtype] for formats in stored.values()):
        each = ", ".join(f"{name} is {' and '.join(formats)}" for name, formats in stored.items())
        yield f"{each}; the merge is computed in float32 and stored as {dtype}"
