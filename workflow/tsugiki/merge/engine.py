"""Merging one tensor after another, for models in memory and on disk alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tsugiki.contracts.recipe import Recipe
from tsugiki.errors import RecipeError
from tsugiki.merge.blockwise import BlockwiseMerge
from tsugiki.merge.decompositions import decomposed_from, key_of
from tsugiki.merge.method import MergeInputs
from tsugiki.merge.models import OpenModels, TensorSource
from tsugiki.merge.settings import Settings
from tsugiki.models.checkpoint import DTYPES as FORMATS
from tsugiki.models.plan import PlannedTensor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PROCESSOR = torch.device("cpu")


class Merge:
    """A recipe, checked against the models that it merges.

    Raises:
        RecipeError: the recipe describes no valid merge of these models.
        LineageError: a model is not the one that the recipe was made for.
        ParentError: the models do not fit together.
    """

    def __init__(self, recipe: Recipe, models: OpenModels) -> None:
        models.require(recipe)
        self._recipe = recipe
        self.models = models
        self.plan = models.plan(recipe.owner)
        self.dtype = DTYPES[recipe.dtype]
        self.settings = Settings(recipe, self.plan.merged, self.plan.kind)
        self.owner = models.checkpoints[recipe.owner]
        self._decompositions = [
            models.decomposition(key_of(inputs)) for inputs in decomposed_from(recipe).values()
        ]

    @property
    def config(self) -> dict[str, Any]:
        """Content of the model's config.json."""
        return self.owner.config

    def format(self, planned: PlannedTensor) -> torch.dtype:
        """Number format that a tensor is stored in: the recipe's, or the owner's.

        The owner's if it is copied, or if the owner stores it in a wider format than most weights.
        """
        if planned.merged:
            return self.owner.wider(planned.name) or self.dtype
        return FORMATS[self.owner.header(planned.name).dtype]

    def tensor(self, planned: PlannedTensor) -> Tensor:
        """Merge one tensor and cast it to its number format.

        Raises:
            RecipeError: the result is not finite.
            ParentError: a model's tensor is not finite.
        """
        made = self._made(planned)
        if isinstance(made, BlockwiseMerge):
            return self._finite(planned, *made.whole(self.format(planned)))
        return made

    def on_device(self, planned: PlannedTensor, device: torch.device) -> Tensor:
        """Merge one tensor on a device, which holds the models from now on, with the bits of `tensor`.

        The method is to be elementwise (see `Method.on_device`).

        Raises:
            RecipeError: the result is not finite.
            ParentError: a model's tensor is not finite.
        """
        formula = self.settings.method.on_device
        assert formula is not None, "others round differently on another device"
        return self._cast(planned, formula(self._inputs(planned, device)))

    def pieces(self, planned: PlannedTensor, into: Tensor | None = None) -> Iterator[Tensor]:
        """The elements of `tensor(planned)` in their order, piece by piece.

        Args:
            planned: The tensor.
            into: Where to write them as well: a contiguous tensor of its shape, on any device, in the
                format of the pieces or another one. The compiled loops write straight into what is
                in the processor's memory and of that format. If absent, each piece is overwritten by
                the next one.

        Raises:
            RecipeError: the result is not finite.
            ParentError: a model's tensor is not finite.
        """
        made = self._made(planned)
        if not isinstance(made, BlockwiseMerge):
            if into is not None:
                into.copy_(made)
            yield made
            return
        pieces = made.pieces(self.format(planned), into)
        for piece, bad in pieces:
            rest = sum(more for _, more in pieces) if bad else 0  # all of the tensor are counted
            yield self._finite(planned, piece, bad + rest)

    def decomposition(self, planned: PlannedTensor, index: int) -> Tensor:
        """What the method makes of the task vector of the parent at a place (see `Method.decompose`).

        NaN where the vector is not finite: parent and base differ by more than float32 holds.

        Raises:
            ParentError: a model's tensor is not finite.
        """
        change, decompose = self._inputs(planned).task_vector(index), self.settings.method.decompose
        assert decompose is not None, "others have nothing to keep"
        finite = bool(torch.isfinite(change).all())
        made = decompose(change if finite else torch.zeros_like(change), self.settings.options)
        return made if finite else torch.full_like(made, torch.nan)

    def _made(self, planned: PlannedTensor) -> Tensor | BlockwiseMerge:
        """The tensor, or the loop that is about to make it."""
        if not planned.merged:
            return self.models.stored(self.owner.name, planned.name)
        made = self.settings.method.merge(self._inputs(planned))
        return made if isinstance(made, BlockwiseMerge) else self._cast(planned, made)

    def _cast(self, planned: PlannedTensor, made: Tensor) -> Tensor:
        result = made.to(self.format(planned))
        name = self.settings.method.name
        assert result.shape == planned.shape, f"{name} changed a tensor's shape"
        return self._finite(planned, result, int((~torch.isfinite(result)).sum()))

    def _inputs(self, planned: PlannedTensor, device: torch.device = PROCESSOR) -> MergeInputs:
        settings, base = self.settings, self._recipe.base
        return MergeInputs(
            name=planned.name,
            shape=planned.shape,
            parents=tuple(parent.name for parent in settings.parents),
            digests=tuple(parent.digest for parent in settings.parents),
            tensors=TensorSource(
                self.models,
                planned.name,
                settings.parents,
                None if base is None else base.name,
                device,
                self._decompositions,
            ),
            per_parent=settings.per_parent(planned.name),
            shared=settings.shared(planned.name),
            options=settings.options,
            mask_seed=settings.mask_seed,
            has_base=base is not None,
        )

    def _finite(self, planned: PlannedTensor, result: Tensor, bad: int) -> Tensor:
        if bad:
            raise RecipeError(
                "the merge gives numbers that are not finite",
                where=f"tensor {planned.name}",
                expected=f"finite numbers in {str(result.dtype).removeprefix('torch.')}",
                got=f"{bad} NaN or infinite elements",
            )
        return result


@contextmanager
def one_thread_per_operation() -> Iterator[None]:
    """Let each torch operation use one thread, so that sums have the same order everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
