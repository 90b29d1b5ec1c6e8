"""The weights of a candidate, as vLLM takes them: one tensor after another, by stored name.

vLLM cannot stop half-way through a reload: its layers would stay without memory, and the next
reload would count their tensors twice. So each of these iterators yields every planned tensor once,
whatever happens, and tells only afterwards what was wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import safetensors
import torch
from torch import Tensor

from tsugiki.contracts.recipe import Recipe
from tsugiki.errors import InfrastructureError, RecipeError
from tsugiki.evaluate.candidate_model import not_whole
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.models.digest import WeightsDigest
from tsugiki.models.plan import TensorPlan


class OnProcessor(Iterator[tuple[str, Tensor]]):
    """Makes each tensor on the processor, whatever torch's default device is meanwhile."""

    def __init__(self, tensors: Iterator[tuple[str, Tensor]]) -> None:
        self._tensors = tensors
        self.taken = False
        """Whether all tensors were taken."""

    def __next__(self) -> tuple[str, Tensor]:
        # not around a generator's `yield`, where it would hold for the caller, too
        with torch.device("cpu"):
            try:
                return next(self._tensors)
            except StopIteration:
                self.taken = True
                raise


class MergedWeights(OnProcessor):
    """The tensors of a merge, made one by one.

    Once a tensor cannot be merged, it and the rest are the owner's, unmerged; `digest` then raises.

    Raises:
        RecipeError: the recipe describes no valid merge.
        LineageError: a model is not the one that the recipe was made for.
    """

    def __init__(self, merger: InPlaceMerger, recipe: Recipe, threads: int = 1) -> None:
        self._merger = merger
        self._owner = recipe.owner
        self._digest = WeightsDigest()
        self._failure: RecipeError | None = None
        with torch.device("cpu"):
            merged = merger.tensors(recipe, self._digest, threads=threads)
            first = next(merged)  # an invalid recipe is refused here, before anything is replaced
        super().__init__(self._all(first, merged))

    def digest(self) -> str:
        """Digest of the weights: the one that `write_merge` returns for the recipe.

        Raises:
            RecipeError: a result is not finite.
        """
        if self._failure is not None:
            raise self._failure
        return self._digest.hexdigest()

    def _all(
        self, first: tuple[str, Tensor], merged: Iterator[tuple[str, Tensor]]
    ) -> Iterator[tuple[str, Tensor]]:
        planned = list(self._merger.plan(self._owner).tensors)
        yield first
        done = 1
        try:
            for item in merged:
                yield item
                done += 1
        except RecipeError as error:
            self._failure = error
        for tensor in planned[done:]:
            yield tensor.stored, self._merger.unmerged(self._owner, tensor)


class StoredWeights(OnProcessor):
    """The tensors of a merged model on disk, in the order of the plan.

    Raises:
        InfrastructureError: the folder does not hold exactly the planned tensors.
    """

    def __init__(self, folder: Path, plan: TensorPlan) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}
        try:
            for file in sorted(folder.glob("*.safetensors")):
                with safetensors.safe_open(file, framework="pt") as content:
                    self._files |= dict.fromkeys(content.keys(), file)
        except (OSError, safetensors.SafetensorError) as error:
            raise not_whole(folder, str(error)) from error
        names = [planned.stored for planned in plan.tensors]
        if different := sorted(self._files.keys() ^ set(names)):
            raise not_whole(folder, f"tensor {different[0]} is missing, or too much")
        super().__init__(self._read(names))

    def _read(self, names: list[str]) -> Iterator[tuple[str, Tensor]]:
        for name in names:
            try:
                with safetensors.safe_open(self._files[name], framework="pt") as content:
                    tensor = content.get_tensor(name)
            except (OSError, safetensors.SafetensorError) as error:
                raise not_whole(self._folder, str(error)) from error
            yield name, tensor


def require_taken(weights: OnProcessor) -> None:
    """A reload that leaves tensors untaken has left the model as a mixture.

    Raises:
        InfrastructureError: some tensors were not taken.
    """
    if not weights.taken:
        raise InfrastructureError(
            "vLLM did not take all weights of a candidate",
            fix="use one of the versions of vLLM that docs/hpc.md names, or `backend: transformers`",
        )
