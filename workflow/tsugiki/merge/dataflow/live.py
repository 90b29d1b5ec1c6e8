"""A model in data-flow space in memory: an ordinary model whose layers share the parents' weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tsugiki.contracts.recipe import DataflowRecipe
from tsugiki.errors import ParentError
from tsugiki.merge.dataflow.engine import DataflowMerge, Origin
from tsugiki.merge.dataflow.parents import DataflowParents
from tsugiki.merge.engine import one_thread_per_operation
from tsugiki.merge.models import OpenModels
from tsugiki.models.digest import FORMAT_NAMES, WeightsDigest, tensor_digest
from tsugiki.models.plan import PlannedTensor
from tsugiki.models.sidecar_files import config_of


class LiveDataflow:
    """Makes models of one set of parents, whose weights are held once.

    A model is built as transformers builds one of so many layers, without memory for its weights.
    Then each of its parameters is set: to a parent's tensor, which all hops through that layer
    share, or to a folded one of its own. Each hop is a layer of its own to the key/value cache.

    Args:
        models: The parents.
        device: Where weights are held.
    """

    def __init__(self, models: OpenModels, device: torch.device) -> None:
        self._parents = DataflowParents(models)
        self._device = device
        self._held: dict[tuple[Origin, torch.dtype], tuple[nn.Parameter, str]] = {}

    def assemble(self, recipe: DataflowRecipe) -> tuple[Any, str]:
        """Make the model; returns it with the digest of its weights.

        The digest is the one that `write_merge` returns for this recipe. Models made earlier stay
        as they are; they share the parents' tensors with this one.

        Raises:
            RecipeError: the recipe describes no valid model.
            LineageError: a parent is not the one that the recipe was made for.
            ParentError: the parents do not fit together, or cannot be read.
        """
        merge = DataflowMerge(recipe, self._parents)
        model = _empty(merge)
        digest = WeightsDigest()
        with one_thread_per_operation():
            for planned in merge.plan.tensors:
                parameter, content = self._parameter(merge, planned)
                name = FORMAT_NAMES[merge.format(planned)]
                digest.add(planned.name, name, planned.shape, content)
                _set(model, planned, parameter)
        model.tie_weights()
        left = [name for name, parameter in model.named_parameters() if parameter.is_meta]
        if left:
            raise ParentError(
                "the model has weights that the parents do not have",
                where=type(model).__name__,
                got=", ".join(left[:5]),
            )
        return model.to(self._device).eval(), digest.hexdigest()

    def layers_of(self, recipe: DataflowRecipe) -> str:
        """Name of the list of layers within a model of this recipe."""
        return self._parents.check(recipe).prefix

    def _parameter(self, merge: DataflowMerge, planned: PlannedTensor) -> tuple[nn.Parameter, str]:
        origin = merge.origins[planned.name]
        key = (origin, merge.dtype)
        if key in self._held:
            return self._held[key]
        made = merge.tensor(planned)
        content = tensor_digest(made)
        made = made.to(merge.dtype)  # as a loader holds these architectures, whatever is stored
        if not origin.change.is_none:
            return nn.Parameter(made.to(self._device), requires_grad=False), content
        # A copy: the maths libraries' sums can depend on where in a file's map a tensor begins.
        copy = torch.empty_like(made, device=self._device).copy_(made)
        self._held[key] = nn.Parameter(copy, requires_grad=False), content
        return self._held[key]


def _empty(merge: DataflowMerge) -> Any:
    from accelerate import init_empty_weights
    from transformers import AutoConfig
    from transformers.initialization import no_init_weights

    config = AutoConfig.for_model(**config_of(merge.config, merge.recipe.dtype))
    with no_init_weights(), init_empty_weights(include_buffers=False):
        return merge.owner.kind.loader().from_config(config, dtype=merge.dtype)


def _set(model: nn.Module, planned: PlannedTensor, parameter: nn.Parameter) -> None:
    path, _, name = planned.name.rpartition(".")
    try:
        module = model.get_submodule(path)
        expected = tuple(module.get_parameter(name).shape)
    except AttributeError:
        expected = None
    if expected != planned.shape:
        raise ParentError(
            "the live model does not have the weights of the parents",
            where=f"{type(model).__name__}, tensor {planned.name}",
            expected=str(list(planned.shape)),
            got="no such weight" if expected is None else str(list(expected)),
        )
    setattr(module, name, parameter)
