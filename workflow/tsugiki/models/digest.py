"""The digest of a model's weights, independent of files, shards and order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from blake3 import blake3
from torch import Tensor

from tsugiki.canonical import digest
from tsugiki.models.checkpoint import DTYPES

FORMAT_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def raw_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor in memory, without copying them if it is contiguous."""
    return tensor.contiguous().flatten().view(torch.uint8).numpy().data


def tensor_digest(tensor: Tensor) -> str:
    """BLAKE3 of a tensor's bytes, as 64 hexadecimal digits."""
    return pieces_digest([tensor])


def pieces_digest(pieces: Iterable[Tensor]) -> str:
    """BLAKE3 of a tensor that comes piece by piece; each is done with when the next one is made."""
    content = blake3()
    for piece in pieces:
        content.update(raw_bytes(piece))
    return content.hexdigest()


class WeightsDigest:
    """Collects tensors, in any order.

    The digest is SHA-256 over the canonical JSON of ``[name, format, shape, BLAKE3 of bytes]`` for
    each tensor, sorted by name. Tied weights are one tensor.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[str, str, list[int], str]] = []

    def add(self, name: str, dtype: str, shape: Sequence[int], content: str) -> None:
        """Add a tensor by its format's name, its shape, and the digest of its content."""
        self._entries.append((name, dtype, list(shape), content))

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return digest(sorted(self._entries))
