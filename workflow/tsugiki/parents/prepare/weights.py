"""The tensors of a parent before they are prepared: as stored, or with an adapter merged in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor

from tsugiki.errors import ParentError
from tsugiki.merge.checkpoint import Checkpoint
from tsugiki.merge.plan import make_plan
from tsugiki.parents.prepare.adapter import WEIGHTS
from tsugiki.parents.prepare.changes import Changes
from tsugiki.parents.prepare.lora import merged_bias, merged_weight

AS_STORED = {r"(.+)": r"\1"}
"""A vision tower is written again too, although it is not merged."""


class Weights(Protocol):
    """A model's tensors."""

    def tensor(self, name: str) -> Tensor:
        """One of them. It must not be changed."""


class StoredWeights:
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
