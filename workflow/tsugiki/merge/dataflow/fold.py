"""Moving the input scales of a path into the weights (derivation: docs/dataflow.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tsugiki.errors import RecipeError
from tsugiki.merge.dataflow.architecture import Role


@dataclass(frozen=True)
class Change:
    """`(offset + factor * w) * scale - offset`, for a stored tensor w."""

    factor: float = 1.0
    scale: float = 1.0
    offset: float = 0.0

    @property
    def is_none(self) -> bool:
        """Whether the tensor stays as it is."""
        return self.factor == 1.0 and self.scale == 1.0


UNCHANGED = Change()


def change_of(role: Role, product: float, factor: float = 1.0) -> Change:
    """What folding does to a tensor.

    Args:
        role: What the tensor is in its layer.
        product: Running product of the input scales; not 0.
        factor: The recipe's own factor of this tensor.
    """
    if role.rule == "divided":
        return Change(factor, 1.0 / product, role.offset)
    if role.rule == "signed":
        return Change(factor, math.copysign(1.0, product), role.offset)
    return Change(factor)


def folded(tensor: Tensor, change: Change, dtype: torch.dtype, *, where: str) -> Tensor:
    """The changed tensor, computed in float32 and cast once; a tensor that stays is only cast.

    Raises:
        RecipeError: the result is not finite in this number format.
    """
    if change.is_none:
        return tensor.to(dtype)
    values = tensor.float() * change.factor
    result = ((values + change.offset) * change.scale - change.offset).to(dtype)
    bad = int((~torch.isfinite(result)).sum())
    if bad:
        raise RecipeError(
            "folding the input scales gives numbers that are not finite",
            where=where,
            expected=f"finite numbers in {str(dtype).removeprefix('torch.')}",
            got=f"{bad} NaN or infinite elements at a scale of {change.factor * change.scale:g}",
        )
    return result
