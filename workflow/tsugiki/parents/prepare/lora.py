"""Low-rank changes of a weight, added to it: LoRA and DoRA."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 1 << 22
"""Elements that are computed at a time."""


def merged_weight(
    weight: Tensor,
    a: Tensor,
    b: Tensor,
    scaling: float,
    *,
    magnitude: Tensor | None = None,
    transposed: bool = False,
) -> Tensor:
    """W + s·B·A; for DoRA m ∘ (W + s·B·A) / ‖W + s·B·A‖, with the norm of each output's row.

    Computed in float64, a block of rows at a time, and cast once.

    Source: Hu et al. 2021, equation 3 (arXiv 2106.09685); Liu et al. 2024, equation 5 (arXiv
    2402.09353).

    Args:
        weight: W, shape (out, in), or (in, out) if `transposed`. It is not changed.
        a: A, shape (r, in).
        b: B, shape (out, r).
        scaling: s.
        magnitude: m of DoRA, shape (out,).
        transposed: Whether the weight is stored as (in, out).

    Returns:
        The merged weight, in the shape and format of `weight`.
    """
    result = torch.empty_like(weight, memory_format=torch.contiguous_format)
    source, target = (weight.t(), result.t()) if transposed else (weight, result)
    right = a.double()
    rows = max(1, BLOCK // source.shape[1])
    for start in range(0, source.shape[0], rows):
        part = slice(start, start + rows)
        changed = source[part].double() + scaling * (b[part].double() @ right)
        if magnitude is not None:
            norms = torch.linalg.vector_norm(changed, dim=1)
            changed *= (magnitude[part].double() / norms)[:, None]
        target[part] = changed.to(weight.dtype)
    return result


def merged_bias(bias: Tensor, change: Tensor, scaling: float) -> Tensor:
    """A bias and the scaled bias of B, in the bias's own format."""
    return (bias.double() + scaling * change.double()).to(bias.dtype)
