"""Merging into a live model: parents stay in memory, the candidate's weights are written in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from tsugiki.errors import ParentError
from tsugiki.merge.digest import WeightsDigest, tensor_digest
from tsugiki.merge.engine import Merge, one_thread_per_operation
from tsugiki.merge.models import Models
from tsugiki.merge.plan import Plan
from tsugiki.recipe.recipe import Recipe

CACHE_BYTES = 1 << 30


class ResidentMerger:
    """Merges many recipes of the same models.

    Args:
        folders: Folder of every parent and base, by name.
        digests: Digest of each one's files, by name.
        cache_bytes: How much of what is computed from the models to keep between recipes. It
            changes the speed, never a result.

    Raises:
        ParentError: a model cannot be read, or the models do not fit together.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        digests: Mapping[str, str],
        *,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._models = Models(folders, digests, cache_bytes=cache_bytes)
        self.plan: Plan = self._models.plan

    def tensors(self, recipe: Recipe) -> Iterator[tuple[str, Tensor]]:
        """Merge a recipe, tensor by tensor, in order of their names.

        Raises:
            RecipeError: the recipe describes no valid merge, or a result is not finite.
            LineageError: a model is not the one that the recipe was made for.
            ParentError: a model's tensor is not finite.
        """
        merge = Merge(recipe, self._models)
        for planned in merge.plan.tensors:
            with one_thread_per_operation():
                merged = merge.tensor(planned)
            yield planned.name, merged

    def load_into(self, recipe: Recipe, model: nn.Module) -> str:
        """Write a merged model's weights into `model`, in place; tied weights stay tied.

        If this raises half-way, the model holds a mixture of weights, until the next call has
        written them all.

        Args:
            recipe: The recipe.
            model: A model of the parents' architecture, in the recipe's number format or float32.

        Returns:
            Digest of the weights: the one that `write_merge` returns for this recipe.

        Raises:
            RecipeError: the recipe describes no valid merge, or a result is not finite.
            LineageError: a model is not the one that the recipe was made for.
            ParentError: a model's tensor is not finite, or `model` has other weights than the plan.
        """
        targets = bind(self.plan, model)
        digest = WeightsDigest()
        with torch.no_grad():
            for name, tensor in self.tensors(recipe):
                target = targets[name]
                if target.dtype not in (tensor.dtype, torch.float32):
                    raise ParentError(
                        "the live model's number format cannot hold the merged weights",
                        where=f"tensor {name}",
                        expected=f"{tensor.dtype} or torch.float32",
                        got=str(target.dtype),
                    )
                target.copy_(tensor)
                digest.add(name, tensor, tensor_digest(tensor))
        return digest.hexdigest()


def bind(plan: Plan, model: nn.Module) -> dict[str, Tensor]:
    """Which of a live model's weights each planned tensor is.

    Names may differ by the model's own prefix (`model.`, `transformer.`), as between a checkpoint
    with a head and one without.

    Raises:
        ParentError: a planned tensor has no place in the model, two have the same, shapes differ,
            or a weight of the model is not planned.
    """
    state: dict[str, Tensor] = model.state_dict(keep_vars=True)
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    targets: dict[str, Tensor] = {}
    faults = []
    for planned in plan.tensors:
        names = (planned.name, prefix + planned.name, planned.name.removeprefix(prefix))
        target = next((state[name] for name in names if name in state), None)
        if target is None:
            faults.append(f"{planned.name}: not in the model")
        elif tuple(target.shape) != planned.shape:
            faults.append(f"{planned.name}: {list(planned.shape)} / {list(target.shape)}")
        else:
            targets[planned.name] = target
    owners: dict[int, str] = {}
    for name, target in targets.items():
        if id(target) in owners:
            faults.append(f"{name}: tied to {owners[id(target)]} in the model, apart in the files")
        owners[id(target)] = name
    faults.extend(
        f"{name}: not in the checkpoints"
        for name, target in state.items()
        if id(target) not in owners
    )
    if faults:
        raise ParentError(
            "the live model does not have the weights of the parents",
            where=type(model).__name__,
            expected=f"{len(plan.tensors)} tensors",
            got="\n    ".join(["", *faults[:20]]),
        )
    return targets
