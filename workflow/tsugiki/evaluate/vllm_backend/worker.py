"""What runs inside vLLM's worker: it holds the parents, and merges candidates into its model.

vLLM adds the class's methods to its own worker (`worker_extension_cls`), in whatever process that
is. Only recipes, paths and digests go between the processes, never weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tsugiki.contracts.recipe import Recipe
from tsugiki.errors import ParentError, RecipeError
from tsugiki.evaluate.vllm_backend.weights import (
    MergedWeights,
    OnProcessor,
    StoredWeights,
    require_taken,
)
from tsugiki.merge.in_place import InPlaceMerger


class MergingWorker:
    """Methods that vLLM's worker gets; `LLM.collective_rpc` calls them by name.

    The worker has `get_model`, `reload_weights`, `device` and `vllm_config`. All names begin with
    `tsugiki_`, since vLLM refuses an extension that has a name of its worker's.
    """

    def tsugiki_open(self, models: str) -> None:
        """Hold other models.

        Args:
            models: JSON with the arguments of `InPlaceMerger`, paths as text, and the number
                of threads that merge.
        """
        given = json.loads(models)
        folders = {name: Path(folder) for name, folder in given["folders"].items()}
        kept = {key: Path(file) for key, file in given["decompositions"].items()}
        self.tsugiki_merger = InPlaceMerger(
            folders, given["digests"], names=given["names"], decompositions=kept
        )
        self.tsugiki_threads = int(given["threads"])

    def tsugiki_merge(self, recipe: str) -> dict[str, Any]:
        """Merge a recipe (JSON) into the model; returns `digest`, or `refused` with the reason."""
        try:
            parsed = Recipe.model_validate_json(recipe)
            weights = MergedWeights(self.tsugiki_merger, parsed, self.tsugiki_threads)
            replace_weights(self, weights)
            return {"digest": weights.digest()}
        except RecipeError as error:
            return {"refused": [error.what, error.where, error.expected, error.got, error.fix]}

    def tsugiki_read(self, folder: str, owner: str) -> None:
        """Take the weights of a merged model on disk."""
        plan = self.tsugiki_merger.plan(owner)
        replace_weights(self, StoredWeights(Path(folder), plan))


def replace_weights(worker: Any, weights: OnProcessor) -> None:
    """Give vLLM's model other weights, in place: captured graphs stay valid.

    vLLM's own `reload_weights` is used and not the model's `load_weights`, which is wrong for models
    whose weights were laid out anew for a kernel (vLLM issue 42821: mixtures of experts).

    Raises:
        ParentError: the model has weights that no tensor was put into.
        InfrastructureError: vLLM did not take all tensors.
    """
    from vllm.config import set_current_vllm_config

    model = worker.get_model()
    checked = getattr(worker, "tsugiki_checked", False)
    with ExitStack() as around:
        if not checked:
            _poison(model)
            around.enter_context(_unwritten_is_nan())
        around.enter_context(torch.device(worker.device))
        around.enter_context(set_current_vllm_config(worker.vllm_config))
        worker.reload_weights(weights_iterator=weights)
    require_taken(weights)
    if not checked:
        _require_replaced(model)
        worker.tsugiki_checked = True


def _poison(model: nn.Module) -> None:
    """Make every weight NaN, to tell those that nothing is put into.

    vLLM says nothing about them: it would answer with numbers that it made up when it started.
    """
    with torch.no_grad():
        for weight in model.parameters():
            if weight.is_floating_point():
                weight.fill_(float("nan"))


@contextmanager
def _unwritten_is_nan() -> Iterator[None]:
    """Let new memory be NaN until it is written to.

    vLLM puts the parts of a fused layer together in new memory, and copies that over the old weights.
    What is merged meanwhile has the same bits as else.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=before, warn_only=warn_only)


def _require_replaced(model: nn.Module) -> None:
    """Check that no weight is poisoned any more.

    Once is enough: each candidate has the same tensors, all of them finite.

    Raises:
        ParentError: vLLM's model has weights that the merged model's tensors did not reach.
    """
    left = [
        name
        for name, weight in model.named_parameters()
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all())
    ]
    if left:
        raise ParentError(
            "vLLM's model has weights that the merged model does not have",
            where=type(model).__name__,
            got=", ".join(left[:5]),
            fix="set `evaluation.backend: transformers` for these models",
        )
