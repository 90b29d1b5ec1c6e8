"""A model in data-flow space in memory: an ordinary model, made as transformers loads the written one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tsugiki.contracts.recipe import DataflowRecipe
from tsugiki.errors import ParentError
from tsugiki.merge.dataflow.engine import DataflowMerge
from tsugiki.merge.dataflow.parents import DataflowParents
from tsugiki.merge.engine import one_thread_per_operation
from tsugiki.merge.models import OpenModels
from tsugiki.models.digest import FORMAT_NAMES, WeightsDigest, tensor_digest
from tsugiki.models.loading import load_tensors
from tsugiki.models.sidecar_files import config_of


class LiveDataflow:
    """Makes models of one set of parents, each with weights of its own, none of which is kept here.

    Each hop is a layer of its own to the key/value cache, and in memory.
    """

    def __init__(self, models: OpenModels, device: torch.device) -> None:
        self._parents = DataflowParents(models)
        self._device = device

    def assemble(self, recipe: DataflowRecipe) -> tuple[Any, str]:
        """Make the model; returns it with the digest of its weights.

        The digest is the one that `write_merge` returns for this recipe. Models made earlier stay
        as they are.

        Raises:
            RecipeError: the recipe describes no valid model.
            LineageError: a parent is not the one that the recipe was made for.
            ParentError: the parents do not fit together, or cannot be read.
        """
        from transformers import AutoConfig

        merge = DataflowMerge(recipe, self._parents)
        digest = WeightsDigest()
        tensors: dict[str, Tensor] = {}
        with one_thread_per_operation():
            for planned in merge.plan.tensors:
                made = merge.tensor(planned)
                content = tensor_digest(made)
                digest.add(planned.stored, FORMAT_NAMES[made.dtype], planned.shape, content)
                # A copy: the maths libraries' sums can depend on where in a file's map a tensor begins.
                tensors[planned.stored] = made.clone()
        config = AutoConfig.for_model(**config_of(merge.config, recipe.dtype))
        architecture = merge.owner.kind.classes()[type(config)]
        loaded = load_tensors(architecture, config, tensors, dtype=merge.dtype)
        merged = {planned.stored for planned in merge.plan.tensors if planned.merged}
        if wrong := [*loaded.missing, *sorted(merged & set(loaded.unexpected))]:
            raise ParentError(
                "the live model does not have the weights of the parents",
                where=architecture.__name__,
                got=", ".join(wrong[:5]),
            )
        model = loaded.model.requires_grad_(requires_grad=False)
        return model.to(self._device), digest.hexdigest()
