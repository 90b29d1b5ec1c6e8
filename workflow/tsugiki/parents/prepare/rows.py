"""Rows of embeddings and heads, taken by token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Origins = Sequence[int | None]
"""For each aligned row, the row of a model's own tensor, or None."""


@dataclass(frozen=True)
class RowSource:
    """One tensor of one model, which has a row for each token."""

    origins: Origins
    read: Callable[[], Tensor]
    """Reads the tensor, of shape (own rows, ...)."""


def aligned_rows(name: str, sources: Mapping[str, RowSource], base: str | None) -> Tensor:
    """A model's tensor with its rows in the aligned order.

    A row that the model lacks is the base's, so that its task vector there is zero. One that the
    base lacks too is the mean of the rows of the models that have it; the base gets the same. One
    that no model has (padding) is the mean of all rows that the base has.

    Means are computed in float64 and cast once.

    Args:
        name: The model.
        sources: That tensor in all models, by name.
        base: Name of the base, if there is one.

    Returns:
        Shape (aligned rows, ...), in the model's own number format.
    """
    own = sources[name]
    values = own.read()
    result = torch.empty(len(own.origins), *values.shape[1:], dtype=values.dtype)
    missing = torch.arange(len(own.origins))
    missing = _take(result, missing, own.origins, values)
    if base is not None and base != name and len(missing):
        missing = _take(result, missing, sources[base].origins, sources[base].read())
    if len(missing):
        others = [source for other, source in sources.items() if other != base]
        missing = _take_means(result, missing, others)
    if len(missing):
        reference = sources[base] if base is not None else own
        known = [row for row in reference.origins if row is not None]
        mean = reference.read()[known].double().mean(dim=0)
        result[missing] = mean.to(result.dtype)
    return result


def _take(result: Tensor, missing: Tensor, origins: Origins, values: Tensor) -> Tensor:
    """Fill in the missing rows that a model has; return those that are still missing."""
    rows = torch.tensor([-1 if row is None else row for row in origins])[missing]
    has = rows >= 0
    result[missing[has]] = values[rows[has]].to(result.dtype)
    return missing[~has]


def _take_means(result: Tensor, missing: Tensor, sources: Sequence[RowSource]) -> Tensor:
    total = torch.zeros(len(missing), *result.shape[1:], dtype=torch.float64)
    count = torch.zeros(len(missing), dtype=torch.int64)
    for source in sources:
        rows = torch.tensor([-1 if row is None else row for row in source.origins])[missing]
        has = rows >= 0
        if bool(has.any()):
            total[has] += source.read()[rows[has]].double()
            count += has
    known = count > 0
    shape = (-1, *[1] * (result.dim() - 1))
    result[missing[known]] = (total[known] / count[known].view(shape)).to(result.dtype)
    return missing[~known]
