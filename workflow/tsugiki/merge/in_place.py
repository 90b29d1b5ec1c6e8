"""Merging into a live model: parents stay in memory, the candidate's weights are written in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor, nn

from tsugiki.contracts.recipe import Recipe
from tsugiki.errors import ParentError
from tsugiki.merge.engine import Merge, one_thread_per_operation
from tsugiki.merge.live import LiveModels, LiveWeights
from tsugiki.merge.models import OpenModels
from tsugiki.merge.parallel import ordered
from tsugiki.models.digest import FORMAT_NAMES, WeightsDigest, pieces_digest, tensor_digest
from tsugiki.models.kinds.kind import Names
from tsugiki.models.plan import PlannedTensor, TensorPlan


class InPlaceMerger:
    """Merges many recipes of the same models, which are given by name.

    Given are their folders, the digests of their files, what their tensors are called in the merge
    where the user says so, and files of decompositions of task vectors, if there are some, by their keys.

    Raises:
        ParentError: a model cannot be read, or the models do not fit together.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        digests: Mapping[str, str],
        *,
        names: Mapping[str, Names] | None = None,
        decompositions: Mapping[str, Path] | None = None,
    ) -> None:
        self._models = OpenModels(folders, digests, names=names, decompositions=decompositions)
        self._device: torch.device | None = None
        self._merging_there = Lock()
        self._copied: dict[tuple[str, str], str] = {}
        self._live = LiveModels()
        for name in folders:  # all faults before any work
            self._models.plan(name)

    @property
    def bytes_on_device(self) -> int:
        """Bytes that `hold_on` may take on a device in the end, with room for merging there."""
        return self._models.bytes_on_device

    def hold_on(self, device: torch.device) -> None:
        """Hold the models on a device, where elementwise methods merge them from now on."""
        self._device = device

    def plan(self, owner: str) -> TensorPlan:
        """The tensors of a merged model that has the configuration of `owner`."""
        return self._models.plan(owner)

    def tensors(
        self, recipe: Recipe, digest: WeightsDigest | None = None, *, threads: int = 1
    ) -> Iterator[tuple[str, Tensor]]:
        """Merge a recipe, tensor by tensor, each with the name that it is stored under.

        Args:
            recipe: The recipe.
            digest: Takes each tensor; in the end, it is the one that `write_merge` returns.
            threads: How many tensors to merge at the same time; so many are in memory at once.

        Raises:
            RecipeError: the recipe describes no valid merge, or a result is not finite.
            LineageError: a model is not the one that the recipe was made for.
            ParentError: a model's tensor is not finite.
        """
        merge = Merge(recipe, self._models)

        def make(planned: PlannedTensor) -> tuple[Tensor, str]:
            tensor = merge.tensor(planned)
            return tensor, "" if digest is None else self._digest(merge.owner.name, planned, tensor)

        tensors = merge.plan.tensors
        for first in range(0, len(tensors), threads):
            window = tensors[first : first + threads]
            with one_thread_per_operation():
                made = list(ordered(make, window, threads))
            for planned, (tensor, content) in zip(window, made, strict=True):
                if digest is not None:
                    name = FORMAT_NAMES[tensor.dtype]
                    digest.add(planned.stored, name, tensor.shape, content)
                yield planned.stored, tensor

    def unmerged(self, owner: str, planned: PlannedTensor) -> Tensor:
        """A planned tensor as `owner` stores it: a map of its file, which must not be changed."""
        return self._models.checkpoints[owner].tensor(planned.name)

    def live_weights(self, owner: str, model: nn.Module) -> LiveWeights:
        """Where the tensors go in a model of the architecture of `owner`.

        Raises:
            ParentError: `model` has other weights than the plan.
        """
        return self._live.weights(self.plan(owner), model)

    def load_into(self, recipe: Recipe, model: nn.Module, *, threads: int = 1) -> str:
        """Write a merged model's weights into `model`, in place; tied weights stay tied.

        Where a weight is in the processor's memory, whole and in the format that it is merged in, the
        compiled loops write straight into it. Others are copied piece by piece, to a GPU too, while
        other threads merge. On a device that holds the models, elementwise methods merge one tensor
        after another, and the threads copy the bytes back for the digest. Neither weights nor digest
        depend on where it is done, nor on `threads`. A weight that is merged in a wider format than
        the model holds it in is rounded, as by a loader that reads it.

        If this raises half-way, the model holds a mixture of weights, until the next call has
        written them all.

        Args:
            recipe: The recipe.
            model: A model of the architecture of the recipe's owner, in the recipe's number
                format or float32. What is not merged may be in any format.
            threads: How many tensors to merge at the same time.

        Returns:
            Digest of the weights: the one that `write_merge` returns for this recipe.

        Raises:
            RecipeError: the recipe describes no valid merge, or a result is not finite.
            LineageError: a model is not the one that the recipe was made for.
            ParentError: a model's tensor is not finite, or `model` has other weights than the plan.
        """
        merge = Merge(recipe, self._models)
        live = self.live_weights(recipe.owner, model)
        digest = WeightsDigest()

        def write(planned: PlannedTensor) -> str:
            with torch.no_grad():  # which holds for one thread
                return self._write(merge, live, planned)

        tensors = merge.plan.tensors
        with one_thread_per_operation():
            contents = ordered(write, tensors, threads)
            for planned, content in zip(tensors, contents, strict=True):
                name, format_name = planned.stored, FORMAT_NAMES[merge.format(planned)]
                digest.add(name, format_name, planned.shape, content)
            with torch.no_grad():
                live.finish()
        return digest.hexdigest()

    def _write(self, merge: Merge, live: LiveWeights, planned: PlannedTensor) -> str:
        """Put a tensor in its place; returns the digest of its content."""
        target = live.dtype(planned.stored)
        formats = (merge.dtype, merge.format(planned), torch.float32)
        if planned.merged and target not in formats:
            raise ParentError(
                "the live model's number format cannot hold the merged weights",
                where=f"tensor {planned.stored}",
                expected=f"{merge.dtype} or torch.float32",
                got=str(target),
            )
        place = live.place(planned.stored)
        if planned.merged and place is not None:
            if self._device is None or merge.settings.method.on_device is None:
                return pieces_digest(merge.pieces(planned, into=place))
            with self._merging_there:  # whose memory has room for one tensor's formula
                merged = merge.on_device(planned, self._device)
                place.copy_(merged)
            return tensor_digest(merged.cpu())
        tensor = merge.tensor(planned)
        live.put(planned.stored, tensor)
        return self._digest(merge.owner.name, planned, tensor)

    def _digest(self, owner: str, planned: PlannedTensor, tensor: Tensor) -> str:
        """Digest of a tensor; of what is not merged, computed once."""
        if planned.merged:
            return tensor_digest(tensor)
        key = (owner, planned.name)
        if key not in self._copied:
            self._copied[key] = tensor_digest(tensor)
        return self._copied[key]
