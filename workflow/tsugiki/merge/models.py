"""The models of a merge, opened together: their plan, their tensors, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from tsugiki.contracts.recipe import AnyRecipe, ParentRef
from tsugiki.errors import LineageError, ParentError, RecipeError
from tsugiki.merge.blockwise import bits_of, in_one_format
from tsugiki.merge.kernels.elements import Bits
from tsugiki.merge.kernels.sums import all_finite
from tsugiki.merge.masks import mask_key, uniforms
from tsugiki.merge.selection import Magnitudes, nth_largest
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.kinds.kind import Names
from tsugiki.models.plan import TensorPlan, make_plan


class OpenModels:
    """Parents and base of a merge.

    Args:
        folders: Folder of every model, by name.
        digests: Digest of every model's files, by name.
        names: What tensors are called in a merge, for those models of which the user says so.
        cache_bytes: How much of what is computed from the models to keep for the next recipe.

    Raises:
        ParentError: a model cannot be read.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        digests: Mapping[str, str],
        *,
        names: Mapping[str, Names] | None = None,
        cache_bytes: int = 0,
    ) -> None:
        self._names = {model: dict(given) for model, given in (names or {}).items() if given}
        self.checkpoints = {
            name: Checkpoint(name, folders[name], self._names.get(name)) for name in sorted(folders)
        }
        self._plans: dict[str, TensorPlan] = {}
        self.digests = dict(digests)
        self.cache = TensorCache(cache_bytes)
        self._bits: dict[tuple[str, str], Bits] = {}
        self._finite: set[tuple[str, str]] = set()

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
            if values.is_floating_point() and not all_finite(self.bits(model, tensor)):
                raise ParentError(
                    f"parent `{model}` has a tensor that is not finite",
                    where=f"{self.checkpoints[model].folder}, tensor {tensor}",
                    expected="finite numbers (even a weight of 0 does not undo NaN)",
                    got=f"{int((~torch.isfinite(values)).sum())} NaN or infinite elements",
                    fix="use another checkpoint of this parent",
                )
            self._finite.add((model, tensor))
        return values

    def bits(self, model: str, tensor: str) -> Bits:
        """A model's tensor as the compiled loops take it (see `kernels`), not yet checked."""
        known = self._bits.get((model, tensor))
        if known is not None:
            return known
        values = self.checkpoints[model].tensor(tensor)
        bits = bits_of(values)
        if self.cache.limit and values.dtype in {torch.float32, torch.bfloat16}:
            self._bits[model, tensor] = bits  # a view of the file, which takes no memory
        return bits

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
    """One tensor of the models: what a method is given (see `inputs.Tensors`)."""

    models: OpenModels
    tensor: str
    parents: tuple[ParentRef, ...]
    base_name: str | None

    def bits(self, index: int | None) -> Bits:
        """A parent's elements, or the base's for None, as the compiled loops take them."""
        return self.models.bits(self._name(index), self.tensor)

    def require_finite(self) -> None:
        """Raise ParentError if the base or a parent is not finite."""
        for parent in self.parents:
            self.models.stored(parent.name, self.tensor)
        if self.base_name is not None:
            self.models.stored(self.base_name, self.tensor)

    def base(self) -> Tensor:
        """The base's tensor, float32."""
        return self._values(self._name(None))

    def parent(self, index: int) -> Tensor:
        """A parent's tensor, float32."""
        return self._values(self._name(index))

    def task_vector(self, index: int) -> Tensor:
        """Parent minus base, float32."""
        key = ("task vector", self.tensor, self.parents[index].name, self.base_name)
        return self.models.cache.get(key, 4 * self._numel, lambda: self.parent(index) - self.base())

    def largest(self, index: int, count: int) -> float:
        """The `count`-th largest magnitude of a task vector."""
        key = ("magnitudes", self.tensor, self.parents[index].name, self.base_name)
        size = 4 * self._numel
        if self.models.cache.holds(key, size):
            ascending = self.models.cache.get(
                key, size, lambda: self.task_vector(index).abs().flatten().sort().values
            )
            return float(ascending[-count])
        base, parent = in_one_format([self.bits(None), self.bits(index)])
        return nth_largest(Magnitudes(base, parent), count)

    def uniforms(self, index: int, mask_seed: int) -> Tensor:
        """One number in [0, 1) for every element, of the tensor's shape."""
        digest = self.parents[index].digest
        shape = self.models.checkpoints[self.parents[index].name].headers[self.tensor].shape
        return self.models.cache.get(
            ("uniforms", self.tensor, digest, mask_seed),
            4 * self._numel,
            lambda: uniforms(mask_key(mask_seed, self.tensor, digest), self._numel).view(shape),
        )

    @property
    def _numel(self) -> int:
        return self.models.checkpoints[self.parents[0].name].headers[self.tensor].numel

    def _values(self, model: str) -> Tensor:
        return self.models.cache.get(
            ("values", self.tensor, model),
            4 * self._numel,
            lambda: self.models.stored(model, self.tensor).float(),
        )

    def _name(self, index: int | None) -> str:
        if index is not None:
            return self.parents[index].name
        assert self.base_name is not None, "the method's description says whether it has a base"
        return self.base_name


class TensorCache:
    """Keeps what is asked for until it is full; what does not fit is computed every time.

    Results do not depend on what is kept. Several threads may ask, best for different tensors.

    Args:
        limit: Most bytes to hold.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._tensors: dict[Hashable, Tensor] = {}
        self._lock = Lock()

    def get(self, key: Hashable, size: int, make: Callable[[], Tensor]) -> Tensor:
        """The tensor of that key, which takes `size` bytes."""
        kept = self._tensors.get(key)
        if kept is None:
            kept = make()
            with self._lock:
                if key not in self._tensors and self.used + size <= self.limit:
                    self._tensors[key] = kept
                    self.used += size
        return kept

    def holds(self, key: Hashable, size: int) -> bool:
        """Whether `get` would keep the tensor, or has kept it."""
        return key in self._tensors or self.used + size <= self.limit
