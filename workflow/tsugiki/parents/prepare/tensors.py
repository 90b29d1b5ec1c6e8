"""Tensors of prepared parents: low-rank adapters merged in (LoRA and DoRA), rows put in another order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from tsugiki.errors import ParentError
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.plan import make_plan
from tsugiki.parents.prepare.adapter import WEIGHTS, AdapterChanges

Weights = Callable[[str], Tensor]
"""Gives a model's tensor of a name; it may be a map of a file, and must not be changed."""

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


def stored_weights(name: str, folder: Path) -> Weights:
    """A checkpoint's tensors as they are stored, those of a vision tower too.

    Raises:
        ParentError: the folder holds no whole checkpoint, or a head that contradicts its tying.
    """
    checkpoint = Checkpoint(name, folder, {r"(.+)": r"\1"})
    make_plan([checkpoint])
    return checkpoint.tensor


def adapted_weights(
    name: str, folder: Path, base: Weights, changes: AdapterChanges, embeddings: str | None
) -> Weights:
    """A base's tensors with an adapter merged in, in the base's number format.

    Raises:
        ParentError: it has a head that differs from the embeddings that it is tied to.
    """
    read: Weights = safe_open(folder / WEIGHTS, framework="pt").get_tensor

    def tensor(target: str) -> Tensor:
        values = base(target)
        if target in changes.replaced:
            values = read(changes.replaced[target]).to(values.dtype)
        if (rows := changes.rows.get(target)) is not None:
            new = read(rows.name).to(values.dtype)
            values = values.index_copy(0, torch.tensor(rows.tokens), new)
        if (change := changes.low_rank.get(target)) is not None:
            a, b = read(change.a), read(change.b)
            magnitude = read(change.magnitude) if change.magnitude else None
            return merged_weight(
                values, a, b, change.scaling, magnitude=magnitude, transposed=change.transposed
            )
        if target in changes.biases:
            bias, scaling = changes.biases[target]
            return merged_bias(values, read(bias), scaling)
        return values

    tied: list[tuple[str, str]] = []
    if embeddings is not None and changes.tied_head is not None:
        tied.append((changes.replaced[embeddings], changes.tied_head))
    if embeddings is not None and changes.tied_rows is not None:
        tied.append((changes.rows[embeddings].name, changes.tied_rows.name))
    for mine, head in tied:
        if not torch.equal(read(mine), read(head)):
            raise ParentError(
                f"adapter `{name}` has a head of its own, but its base ties head and embeddings",
                where=str(folder / WEIGHTS),
                expected=f"{head} equal to {mine}",
                got="different values",
                fix="untie the base first: tie_word_embeddings false, with the head stored",
            )
    return tensor


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
    rows = _rows(origins, missing)
    has = rows >= 0
    result[missing[has]] = values[rows[has]].to(result.dtype)
    return missing[~has]


def _take_means(result: Tensor, missing: Tensor, sources: Sequence[RowSource]) -> Tensor:
    total = torch.zeros(len(missing), *result.shape[1:], dtype=torch.float64)
    count = torch.zeros(len(missing), dtype=torch.int64)
    for source in sources:
        rows = _rows(source.origins, missing)
        has = rows >= 0
        if bool(has.any()):
            total[has] += source.read()[rows[has]].double()
            count += has
    known = count > 0
    shape = (-1, *[1] * (result.dim() - 1))
    result[missing[known]] = (total[known] / count[known].view(shape)).to(result.dtype)
    return missing[~known]


def _rows(origins: Origins, missing: Tensor) -> Tensor:
    """A model's own row for each of the missing ones, or -1."""
    return torch.tensor([-1 if row is None else row for row in origins])[missing]
