"""Methods that differ only in how they thin out task vectors before these are summed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from tsugiki.merge import fused_vectors
from tsugiki.merge.fused import Fused
from tsugiki.merge.fused_vectors import Kept
from tsugiki.merge.operands import Operands
from tsugiki.merge.task_vectors import add_task_vectors


@dataclass(frozen=True)
class Thinning:
    """A way of thinning out task vectors, as the formula does it and as the compiled loop does it."""

    weighted: Callable[[Operands], Iterable[Tensor]]
    """Each parent's thinned-out task vector times its weight."""
    kept: Callable[[Operands], list[Kept]]
    """What is kept of each parent's task vector, and by what it is multiplied."""
    row: Callable[[Operands], int] = lambda _: 1
    """Elements that are thinned out together."""

    def merge(self, *, consensus: bool) -> Callable[[Operands], Tensor]:
        """The method itself (see `task_vectors`), with or without the election of signs of TIES."""

        def merge(operands: Operands) -> Tensor:
            return add_task_vectors(operands, self.weighted(operands), consensus=consensus)

        return merge

    def compiled(self, *, consensus: bool) -> Callable[[Operands, torch.dtype], Fused]:
        """The same in one pass."""

        def merge(operands: Operands, dtype: torch.dtype) -> Fused:
            return fused_vectors.add_task_vectors(
                operands, self.kept(operands), dtype, consensus=consensus, row=self.row(operands)
            )

        return merge
