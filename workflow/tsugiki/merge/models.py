"""The models of a merge, opened together: their plan, their tensors, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tsugiki.contracts.recipe import AnyRecipe, ParentRef
from tsugiki.errors import LineageError, ParentError, RecipeError
from tsugiki.merge.decompositions import Decomposition
from tsugiki.merge.kernels.elements import Bits, elements_of
from tsugiki.merge.kernels.sums import all_finite
from tsugiki.models.checkpoint import DTYPES, Checkpoint
from tsugiki.models.kinds.kind import Names
from tsugiki.models.plan import TensorPlan, make_plan

ROOM = 64
"""Bytes that a formula needs on a device for each element, and for each model 4 more: float32 tensors, and
a sorted row with its places."""


def fits_on_device(needed: int, free: int) -> bool:
    """Whether models of so many bytes fit on a device and leave half of its free memory for scoring."""
    return 2 * needed <= free


class OpenModels:
    """Parents and base of a merge, given by name.

    Given are their folders, the digests of their files, what their tensors are called in the merge
    where the user says so, and files of decompositions of task vectors, if there are some, by their keys.

    Raises:
        ParentError: a model cannot be read.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        digests: Mapping[str, str],
        *,
        names: Mapping[str, Names] | None = None,
        decompositions: Mapping[str, Path] | None = None,
    ) -> None:
        self._names = {model: dict(given) for model, given in (names or {}).items() if given}
        self.checkpoints = {
            name: Checkpoint(name, folders[name], self._names.get(name)) for name in sorted(folders)
        }
        self._plans: dict[str, TensorPlan] = {}
        self.digests = dict(digests)
        self._held: dict[tuple[str, str], Tensor] = {}
        self._finite: set[tuple[str, str]] = set()
        self._kept = dict(decompositions or {})
        self._decompositions: dict[str, Decomposition] = {}

    def plan(self, owner: str) -> TensorPlan:
        """The tensors of every merge of these models that has the configuration of `owner`.

        Raises:
            ParentError: the models do not fit together.
        """
        if owner not in self._plans:
            self._plans[owner] = make_plan(list(self.checkpoints.values()), owner)
        return self._plans[owner]

    def require(self, recipe: AnyRecipe) -> None:
        """Check that these are the models that a recipe means.

        Raises:
            RecipeError: the recipe names a model that is not here.
            LineageError: a model of that name is here, but its files or names are others.
        """
        for ref in recipe.models:
            self._require_ref(ref)
        if recipe.owner not in self.checkpoints:
            raise self._unknown(recipe.owner)

    def stored(self, model: str, tensor: str) -> Tensor:
        """A model's tensor as it is stored, checked to be finite.

        Raises:
            ParentError: the tensor holds NaN or an infinity.
        """
        values = self.checkpoints[model].tensor(tensor)
        if (model, tensor) not in self._finite:
            if values.is_floating_point() and not all_finite(elements_of(values)):
                raise ParentError(
                    f"parent `{model}` has a tensor that is not finite",
                    where=f"{self.checkpoints[model].folder}, tensor {tensor}",
                    expected="finite numbers (even a weight of 0 does not undo NaN)",
                    got=f"{int((~torch.isfinite(values)).sum())} NaN or infinite elements",
                    fix="use another checkpoint of this parent",
                )
            self._finite.add((model, tensor))
        return values

    def values(self, model: str, tensor: str, device: torch.device) -> Tensor:
        """A model's tensor, float32; another device than the processor holds it from now on, as it is stored.

        Raises:
            ParentError: the tensor holds NaN or an infinity.
        """
        if device.type == "cpu":
            return self.stored(model, tensor).float()
        if (model, tensor) not in self._held:
            self._held[model, tensor] = self.stored(model, tensor).to(device)
        return self._held[model, tensor].float()

    def decomposition(self, key: str) -> Decomposition | None:
        """What is kept of a task vector under a key (see `decompositions`), if anything is.

        Raises:
            InfrastructureError: its file cannot be read.
        """
        if key not in self._kept:
            return None
        if key not in self._decompositions:
            self._decompositions[key] = Decomposition(self._kept[key])
        return self._decompositions[key]

    @property
    def bytes_on_device(self) -> int:
        """Bytes that it takes to hold the models on a device and to merge there, beside the live model."""
        headers = [one for model in self.checkpoints.values() for one in model.headers.values()]
        held = sum(one.numel * DTYPES[one.dtype].itemsize for one in headers)
        largest = max((one.numel for one in headers), default=0)
        return held + largest * (ROOM + 4 * len(self.checkpoints))

    def _require_ref(self, ref: ParentRef) -> None:
        if ref.name not in self.checkpoints:
            raise self._unknown(ref.name)
        if self.digests.get(ref.name) != ref.digest:
            raise LineageError(
                f"parent `{ref.name}` is not the one that the recipe was made for",
                where=str(self.checkpoints[ref.name].folder),
                expected=ref.digest,
                got=str(self.digests.get(ref.name)),
            )
        if ref.names != self._names.get(ref.name, {}):
            raise LineageError(
                f"the tensors of parent `{ref.name}` are not named as the recipe says",
                where=str(self.checkpoints[ref.name].folder),
                expected=str(ref.names),
                got=str(self._names.get(ref.name, {})),
                fix="let `names` in the configuration be what it was, or start another run",
            )

    def _unknown(self, name: str) -> RecipeError:
        return RecipeError(
            f"the recipe names a model that is not among those given: `{name}`",
            expected=", ".join(self.checkpoints),
        )


@dataclass(frozen=True)
class TensorSource:
    """One tensor of the models: what a method is given (see `method.Tensors`)."""

    models: OpenModels
    tensor: str
    parents: tuple[ParentRef, ...]
    base: str | None
    device: torch.device
    decompositions: Sequence[Decomposition | None] = ()
    """Of the parents' task vectors, in their order; those that are kept, if the method has one."""

    def bits(self, index: int | None) -> Bits:
        """A model's elements, as the compiled loops take them."""
        return elements_of(self.models.checkpoints[self._name(index)].tensor(self.tensor))

    def values(self, index: int | None) -> Tensor:
        """A model's tensor, float32, on the device."""
        return self.models.values(self._name(index), self.tensor, self.device)

    def decomposition(self, index: int) -> Tensor | None:
        """What is kept of a parent's task vector, of this tensor; None if nothing is."""
        kept = self.decompositions[index]
        return None if kept is None else kept.tensor(self.tensor)

    def require_finite(self) -> None:
        """Raise ParentError if the base or a parent is not finite."""
        bases = [] if self.base is None else [self.base]
        for name in [*(parent.name for parent in self.parents), *bases]:
            self.models.stored(name, self.tensor)

    def _name(self, index: int | None) -> str:
        if index is not None:
            return self.parents[index].name
        assert self.base is not None, "the method's description says whether it has a base"
        return self.base
