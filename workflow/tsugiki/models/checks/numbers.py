"""Numbers that cannot be merged: quantised or packed weights."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod

from tsugiki.models.facts import ModelFacts
from tsugiki.models.fault import Fault, listed
from tsugiki.models.headers import FLOATS

WHOLE = {"I64", "I32", "I16", "I8", "U8", "BOOL"}
"""Formats of whole numbers that a model may store besides its weights."""
MASK = re.compile(r"(?:mask|bias|index)$")
NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
"""Of a block, or of another one of many alike, within a name."""
WEIGHT = re.compile(r"\.(weight|qweight|qzeros|scales|g_idx|weight_packed|weight_scale)$")


def check_numbers(model: ModelFacts) -> Iterator[Fault]:
    """A quantised model cannot be merged: its numbers are codes, not values."""
    quantisation = model.config.get("quantization_config")
    packed = sorted(f"{name} ({model.tensors[name].dtype})" for name in _codes(model))
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


def _codes(model: ModelFacts) -> Iterator[str]:
    """Tensors that stand for weights, and are no floating-point numbers.

    What models store besides, such as positions, counters and masks, has one extent at most, is
    64 bits wide, or is square.
    """
    floats = [tensor for tensor in model.tensors.values() if tensor.dtype in FLOATS]
    longest = max((extent for tensor in floats for extent in tensor.shape), default=0)
    for name, tensor in model.tensors.items():
        if tensor.dtype in FLOATS:
            continue
        if tensor.dtype not in WHOLE or WEIGHT.search(name):
            yield name
        elif tensor.dtype != "I64" and not _is_mask(name, tensor.shape):
            extents = [extent for extent in tensor.shape if extent > 1]
            if len(extents) > 1 or prod(extents) > longest:
                yield name


def _is_mask(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor says of each two places whether, or how, one sees the other."""
    square = len(shape) > 1 and shape[-1] == shape[-2] and prod(shape[:-2]) == 1
    return square and (len(shape) > 2 or MASK.search(name) is not None)


def note_formats(models: Sequence[ModelFacts], dtype: str) -> Iterator[str]:
    """Say what formats meet, where the weights are not all stored in the format asked for."""
    stored = {
        model.name: sorted(
            {FLOATS[tensor.dtype] for tensor in model.tensors.values() if tensor.dtype in FLOATS}
        )
        for model in models
        if model.tensors
    }
    if any(formats != [dtype] for formats in stored.values()):
        each = ", ".join(f"{name} is {' and '.join(formats)}" for name, formats in stored.items())
        yield f"{each}; the merge is computed in float32 and stored as {dtype}"


def note_unequal(reference: ModelFacts, other: ModelFacts) -> Iterator[str]:
    """Say which tensors (a head, routers, a tower) differ in format where the models do not."""
    mine, theirs = _formats(reference), _formats(other)
    usual = (_usual(reference), _usual(other))
    found: dict[tuple[str, str], list[str]] = {}
    for name in sorted(mine.keys() & theirs.keys()):
        for pair in sorted((one, two) for one in mine[name] for two in theirs[name]):
            if pair[0] != pair[1] and pair != usual:
                found.setdefault(pair, []).append(name)
    for (one, two), names in found.items():
        yield f"{listed(names)}: {one} in {reference.name}, {two} in {other.name}"


def _formats(model: ModelFacts) -> dict[str, set[str]]:
    """Formats of each tensor, those of all blocks together; by the names in the merge, if any."""
    merged = {stored: name for name, stored in model.names.items()}
    found: dict[str, set[str]] = {}
    for stored, tensor in model.tensors.items():
        name = NUMBER.sub("*", merged.get(stored, stored))
        found.setdefault(name, set()).add(FLOATS.get(tensor.dtype, tensor.dtype))
    return found


def _usual(model: ModelFacts) -> str:
    """The format of most of a model's bytes."""
    sizes: Counter[str] = Counter()
    for tensor in model.tensors.values():
        sizes[FLOATS.get(tensor.dtype, tensor.dtype)] += tensor.size
    return sizes.most_common(1)[0][0] if sizes else ""
