"""What runs inside vLLM's worker: it holds the parents, and merges candidates into its model.

vLLM adds the class's methods to its own worker (`worker_extension_cls`), in whatever process that
is. Only recipes, paths and digests go between the processes, never weights.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from tsugiki.errors import RecipeError
from tsugiki.evaluate.vllm_backend.packed import forget_packed, pack_tied
from tsugiki.evaluate.vllm_backend.replaced import poison, require_replaced, unwritten_is_nan
from tsugiki.evaluate.vllm_backend.weights import (
    MergedWeights,
    OnProcessor,
    StoredWeights,
    require_taken,
)
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.recipe.recipe import Recipe


class MergingWorker:
    """Methods that vLLM's worker gets; `LLM.collective_rpc` calls them by name.

    The worker has `get_model`, `reload_weights`, `device` and `vllm_config`. All names begin with
    `tsugiki_`, since vLLM refuses an extension that has a name of its worker's.
    """

    def tsugiki_open(self, models: str) -> None:
        """Hold other models.

        Args:
            models: JSON with the arguments of `InPlaceMerger`, the folders as text, and the number
                of threads that merge.
        """
        given = json.loads(models)
        folders = {name: Path(folder) for name, folder in given["folders"].items()}
        self.tsugiki_merger = InPlaceMerger(folders, given["digests"], names=given["names"])
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
            poison(model)
            around.enter_context(unwritten_is_nan())
        forget_packed(model)
        around.enter_context(torch.device(worker.device))
        around.enter_context(set_current_vllm_config(worker.vllm_config))
        worker.reload_weights(weights_iterator=weights)
        pack_tied(model)
    require_taken(weights)
    if not checked:
        require_replaced(model)
        worker.tsugiki_checked = True
