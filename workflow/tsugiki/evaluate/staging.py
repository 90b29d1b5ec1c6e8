"""Copies weights to a GPU faster than one thread can read them.

A GPU fetches from pinned memory at the speed of its bus, and from other memory through one thread of
the driver, at a fifth of it. To pin a model takes as long as some of its copies. So weights go through two
pieces of pinned memory, which are filled by all of the job's threads in turn.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import torch
from torch import Tensor

PIECE = 1 << 26
"""Bytes of each piece: 64 MiB."""


class Staging:
    """Two pieces of pinned memory.

    Args:
        device: The GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pieces = cycle(
            [
                (torch.empty(PIECE, dtype=torch.uint8, pin_memory=True), torch.cuda.Event())  # type: ignore[no-untyped-call]
                for _ in range(2)
            ]
        )

    def copy(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        """Copy each first tensor, in main memory, to the second one, on the GPU; both contiguous."""
        # what the GPU still computes with the old weights comes first
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            for source, target in pairs:
                for read, written in zip(_pieces(source), _pieces(target), strict=True):
                    piece, free = next(self._pieces)
                    free.synchronize()
                    staged = piece[: read.numel()]
                    staged.copy_(read)
                    written.copy_(staged, non_blocking=True)
                    free.record()
        torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)


def _pieces(weights: Tensor) -> tuple[Tensor, ...]:
    """The bytes of a tensor, in pieces."""
    content: Any = weights.detach().reshape(-1).view(torch.uint8)
    return tuple(content.split(PIECE))
