"""The tensors of a parent before they are prepared: as stored, or with LoRA or DoRA merged in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor

from tsugiki.errors import ParentError
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.plan import make_plan
from tsugiki.parents.prepare.adapter import WEIGHTS
from tsugiki.parents.prepare.changes import Changes

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


AS_STORED = {r"(.+)": r"\1"}
"""A vision tower is written again too, although it is not merged."""


class Weights(Protocol):
    """A model's tensors."""

    def tensor(self, name: str) -> Tensor:
        """One of them. It must not be changed."""


class CheckpointWeights:
    """A checkpoint's tensors.

    Args:
        name: The parent's name, for messages.
        folder: The checkpoint.

    Raises:
        ParentError: the folder holds no whole checkpoint, or a head that contradicts its tying.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._checkpoint = Checkpoint(name, folder, AS_STORED)
        make_plan([self._checkpoint])

    def tensor(self, name: str) -> Tensor:
        """As stored: a map of the file."""
        return self._checkpoint.tensor(name)


class AdaptedWeights:
    """A base's tensors with an adapter merged in, in the base's number format.

    Args:
        name: The adapter's name, for messages.
        folder: The adapter.
        base: What it was trained on.
        changes: What it changes.
        embeddings: Name of the base's embeddings.

    Raises:
        ParentError: it has a head that differs from the embeddings that it is tied to.
    """

    def __init__(
        self, name: str, folder: Path, base: Weights, changes: Changes, embeddings: str | None
    ) -> None:
        self._base = base
        self._changes = changes
        self._file: Any = safe_open(folder / WEIGHTS, framework="pt")
        if embeddings is None:
            return
        if changes.tied_head is not None:
            self._require_equal(name, folder, changes.replaced[embeddings], changes.tied_head)
        if changes.tied_rows is not None:
            rows = changes.rows[embeddings].name
            self._require_equal(name, folder, rows, changes.tied_rows.name)

    def _require_equal(self, name: str, folder: Path, embeddings: str, head: str) -> None:
        if not torch.equal(self._read(embeddings), self._read(head)):
            raise ParentError(
                f"adapter `{name}` has a head of its own, but its base ties head and embeddings",
                where=str(folder / WEIGHTS),
                expected=f"{head} equal to {embeddings}",
                got="different values",
                fix="untie the base first: tie_word_embeddings false, with the head stored",
            )

    def _read(self, name: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def tensor(self, name: str) -> Tensor:
        """A tensor of the base, changed if the adapter changes it."""
        values = self._base.tensor(name)
        if name in self._changes.replaced:
            values = self._read(self._changes.replaced[name]).to(values.dtype)
        if (rows := self._changes.rows.get(name)) is not None:
            values = values.index_copy(
                0, torch.tensor(rows.tokens), self._read(rows.name).to(values.dtype)
            )
        if (change := self._changes.low_rank.get(name)) is not None:
            return merged_weight(
                values,
                self._read(change.a),
                self._read(change.b),
                change.scaling,
                magnitude=self._read(change.magnitude) if change.magnitude else None,
                transposed=change.transposed,
            )
        if name in self._changes.biases:
            bias, scaling = self._changes.biases[name]
            return merged_bias(values, self._read(bias), scaling)
        return values
