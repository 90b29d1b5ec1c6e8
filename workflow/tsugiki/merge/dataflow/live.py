"""A model in data-flow space in memory: an ordinary model whose layers share the parents' weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from tsugiki.models.names import naming
from tsugiki.models.plan import PlannedTensor
from tsugiki.models.sidecar_files import config_of


@dataclass(frozen=True)
class _Carried:
    """Weights outside what is merged, by their names in a live model, and the digests of those stored."""

    weights: Mapping[str, nn.Parameter]
    digests: Mapping[str, str]

    def put_into(self, model: nn.Module) -> None:
        for name, parameter in self.weights.items():
            path, _, last = name.rpartition(".")
            setattr(model.get_submodule(path), last, parameter)


class LiveDataflow:
    """Makes models of one set of parents, whose weights are held once.

    A model is built as transformers builds one of so many layers, without memory for its weights.
    Then each of its parameters is set: to a parent's tensor, which all hops through that layer
    share, or to a folded one of its own. Each hop is a layer of its own to the key/value cache.
    """

    def __init__(self, models: OpenModels, device: torch.device) -> None:
        self._parents = DataflowParents(models)
        self._device = device
        self._held: dict[tuple[Origin, torch.dtype], tuple[nn.Parameter, str]] = {}
        self._carried: dict[tuple[str, torch.dtype], _Carried] = {}
        """What goes along with each owner, such as a vision tower."""

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
        places = _places(merge, model)
        carried = self._carry(merge) if merge.owner.kind.sees else None
        with one_thread_per_operation():
            for planned in merge.plan.tensors:
                name = FORMAT_NAMES[merge.format(planned)]
                if carried is not None and not planned.merged:
                    digest.add(planned.stored, name, planned.shape, carried.digests[planned.name])
                    continue
                parameter, content = self._parameter(merge, planned)
                digest.add(planned.stored, name, planned.shape, content)
                _set(model, planned, places.get(planned.name, planned.name), parameter)
        if carried is not None:
            carried.put_into(model)
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
        merge = DataflowMerge(recipe, self._parents)
        first = next(name for name in merge.origins if merge.layers.within(name))
        place = _places(merge, _empty(merge)).get(first, first)
        _, rest = merge.layers.within(first) or (0, "")
        return place.removesuffix(f".{rest}").rpartition(".")[0]

    def _carry(self, merge: DataflowMerge) -> _Carried:
        """What goes along with an owner, read once as transformers reads the whole of it."""
        key = (merge.owner.name, merge.dtype)
        if key not in self._carried:
            whole = merge.owner.kind.loader().from_pretrained(
                merge.owner.folder, dtype=merge.dtype, local_files_only=True
            )
            language = set(_places(merge, whole).values())
            state = whole.state_dict(keep_vars=True)
            self._carried[key] = _Carried(
                {
                    name: nn.Parameter(values.detach().to(self._device), requires_grad=False)
                    for name, values in state.items()
                    if name not in language and isinstance(values, nn.Parameter)
                },
                {
                    planned.name: tensor_digest(merge.tensor(planned))
                    for planned in merge.plan.tensors
                    if not planned.merged
                },
            )
        return self._carried[key]

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


def _places(merge: DataflowMerge, model: nn.Module) -> dict[str, str]:
    """Names of what is merged in a live model, by those in the merge, where the two may differ."""
    if not merge.owner.kind.sees:
        return {}
    return naming(merge.owner.name, list(model.state_dict()), merge.config)


def _set(model: nn.Module, planned: PlannedTensor, place: str, parameter: nn.Parameter) -> None:
    path, _, name = place.rpartition(".")
    try:
        module = model.get_submodule(path)
        expected = tuple(module.get_parameter(name).shape)
    except AttributeError:
        expected = None
    if expected != planned.shape:
        raise ParentError(
            "the live model does not have the weights of the parents",
            where=f"{type(model).__name__}, tensor {planned.stored}",
            expected=str(list(planned.shape)),
            got="no such weight" if expected is None else str(list(expected)),
        )
    setattr(module, name, parameter)
