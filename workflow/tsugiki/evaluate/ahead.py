"""Where candidates are merged for a live model: in its own memory, or in a copy that a GPU's follows.

While a GPU scores a candidate, most of the job's processors have nothing to do. So the next candidate is
merged meanwhile, into a second model in main memory, and is copied to the GPU when it is its turn.
"""

from __future__ import annotations

import copy
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any, Protocol

import torch
from torch import nn

from tsugiki.contracts.recipe import Recipe
from tsugiki.evaluate.staging import Staging
from tsugiki.merge.resident import ResidentMerger


class Merging(Protocol):
    """Merges recipes into one live model."""

    @property
    def live(self) -> Any:
        """The model, with the weights of the last recipe that was finished."""

    def begin(self, merger: ResidentMerger, recipe: Recipe) -> None:
        """Say which recipe is finished next, once the last one's model is at work."""

    def finish(self, merger: ResidentMerger, recipe: Recipe) -> str:
        """Give the model a recipe's weights; returns their digest. Raises as `load_into` does."""


class InPlace:
    """Merges into the model itself, with the processors that it also computes with."""

    def __init__(self, model: nn.Module, threads: int) -> None:
        self.live = model
        self._threads = threads

    def begin(self, merger: ResidentMerger, recipe: Recipe) -> None:
        """Nothing: the model is in use, and so are the processors."""

    def finish(self, merger: ResidentMerger, recipe: Recipe) -> str:
        """Merge."""
        return merger.load_into(recipe, self.live, threads=self._threads)


class Ahead:
    """Merges beside a model on another device, one recipe ahead.

    Args:
        model: The model in main memory, which stays there and is merged into.
        device: Where its twin goes, `live`.
        threads: How many tensors to merge at the same time.
    """

    def __init__(self, model: nn.Module, device: torch.device, threads: int) -> None:
        self.live = twin(model, device)
        self._model = model
        self._threads = threads
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="merge-ahead")
        self._begun: tuple[str, Future[str]] | None = None
        # with one thread the driver is faster
        self._staging = Staging(device) if device.type == "cuda" and threads > 1 else None

    def begin(self, merger: ResidentMerger, recipe: Recipe) -> None:
        """Merge a recipe in another thread, unless that would disturb this one.

        Where tensors are not written in place, transformers loads a model anew from them, and changes
        settings of the whole process meanwhile.
        """
        self._settle()
        if merger.live_weights(recipe.owner, self._model).in_place:
            work = self._thread.submit(merger.load_into, recipe, self._model, threads=self._threads)
            self._begun = (recipe.digest, work)

    def finish(self, merger: ResidentMerger, recipe: Recipe) -> str:
        """Copy what was merged; merge it now if it was not begun."""
        if self._begun is not None and self._begun[0] == recipe.digest:
            work = self._begun[1]
            self._begun = None
            digest = work.result()
        else:
            self._settle()
            digest = merger.load_into(recipe, self._model, threads=self._threads)
        self._copy()
        return digest

    def _settle(self) -> None:
        """Wait for a recipe that nobody wants any more; its faults are nobody's."""
        if self._begun is not None:
            self._begun[1].exception()
            self._begun = None

    def _copy(self) -> None:
        """Give the twin the weights of the model, tied ones once; what it computes for itself stays."""
        sources = self._model.state_dict()
        pairs = {
            target.data_ptr(): (sources[name], target)
            for name, target in self.live.state_dict().items()
        }
        staged = []
        for source, target in pairs.values():
            if self._staging is not None and source.is_contiguous() and target.is_contiguous():
                staged.append((source, target))
            else:
                target.copy_(source)
        if self._staging is not None:
            self._staging.copy(staged)


def twin(model: nn.Module, device: torch.device) -> Any:
    """A copy of a model with its weights on a device; tied weights are tied in it, too."""
    moved: dict[int, Any] = {}
    for weights in chain(model.parameters(), model.buffers()):
        there = weights.detach().to(device, copy=True)
        moved[id(weights)] = (
            nn.Parameter(there, requires_grad=False) if isinstance(weights, nn.Parameter) else there
        )
    return copy.deepcopy(model, moved)
